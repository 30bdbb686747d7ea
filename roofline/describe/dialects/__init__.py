"""Dialects of config.json: for each family of models, which key means what, as data where data is enough."""
