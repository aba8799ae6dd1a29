"""llama.cpp's own HTTP server under the options of `llama-server`, from the PyPI package xllamacpp.

Only the command line is written here: endpoints, templates, grammars, errors and cancellation are llama.cpp's.
An option that is not listed below is an error, as it is for llama-server.
"""
import argparse
import os
import signal
import sys
import threading


def options():
    parser = argparse.ArgumentParser(prog="llama-server", allow_abbrev=False)
    add = parser.add_argument
    add("--list-devices", action="store_true")
    add("--version", action="store_true")
    add("-m", "--model")
    add("-a", "--alias")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8080)
    add("-c", "--ctx-size", type=int, default=0)
    add("-np", "--parallel", type=int, default=1)
    add("-t", "--threads", type=int)
    add("-b", "--batch-size", type=int)
    add("-ub", "--ubatch-size", type=int)
    add("-dev", "--device", default="none")
    add("-ngl", "--gpu-layers", "--n-gpu-layers", type=int, default=0)
    add("--embeddings", "--embedding", action="store_true")
    add("--pooling", choices=["none", "mean", "cls", "last", "rank"])
    add("--jinja", action=argparse.BooleanOptionalAction, default=True)
    add("--slots", action=argparse.BooleanOptionalAction, default=True)
    add("--metrics", action="store_true")
    add("--chat-template")
    add("--chat-template-file")
    add("--mmproj")
    return parser, parser.parse_args()


def parameters(given, xllamacpp):
    chosen = xllamacpp.CommonParams()
    chosen.model.path = given.model
    if given.alias is not None:
        chosen.model_alias = {given.alias}
    chosen.hostnames = [given.host]
    chosen.port = given.port
    chosen.n_ctx = given.ctx_size
    chosen.n_parallel = given.parallel
    chosen.n_gpu_layers = given.gpu_layers
    chosen.embedding = given.embeddings
    chosen.use_jinja = given.jinja
    chosen.endpoint_slots = given.slots
    chosen.endpoint_metrics = given.metrics
    if given.threads is not None:
        chosen.cpuparams.n_threads = given.threads
        chosen.cpuparams_batch.n_threads = given.threads
    if given.batch_size is not None:
        chosen.n_batch = given.batch_size
    if given.ubatch_size is not None:
        chosen.n_ubatch = given.ubatch_size
    if given.pooling is not None:
        kinds = xllamacpp.llama_pooling_type
        chosen.pooling_type = getattr(kinds, f"LLAMA_POOLING_TYPE_{given.pooling.upper()}")
    if given.chat_template_file is not None:
        with open(given.chat_template_file, encoding="utf-8") as file:
            chosen.chat_template = file.read()
    elif given.chat_template is not None:
        chosen.chat_template = given.chat_template
    if given.mmproj is not None:
        chosen.mmproj.path = given.mmproj
    return chosen


def main():
    parser, given = options()
    if given.list_devices:
        print("Available devices:")
        return
    if given.version:
        import importlib.metadata

        print("version: xllamacpp", importlib.metadata.version("xllamacpp"))
        return
    if given.model is None:
        parser.error("--model is required")
    import xllamacpp

    server = xllamacpp.Server(parameters(given, xllamacpp))
    print(f"server is listening on {server.listening_address}", flush=True)
    stopped = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopped.set())
    stopped.wait()
    sys.stdout.flush()
    # Its threads may still generate: the process ends with them.
    os._exit(0)


main()
