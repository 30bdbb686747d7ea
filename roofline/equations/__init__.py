"""The physics: pure functions of numbers, one module per phenomenon.

Each equation is written once, from `+ - * / **` and the helpers of `roofline.numeric`, and runs on floats, arrays,
exact fractions and symbols. Its docstring says what each argument is, in which unit, and where the equation comes from.
"""
