"""A measured row of service that says nothing out of the ordinary."""

PLAIN = {
    "id": "a",
    "kind": "serving",
    "model": "llama-3.1-8b",
    "accelerator": "h100-sxm",
    "devices": "2",
    "tp": "2",
    "quantization": "fp8",
    "runtime": "vllm",
    "isl": "1024",
    "osl": "128",
    "concurrency": "8",
    "lengths": "equal",
}
