"""Ids that llama-cpp-python itself draws, in a process of its own: `MODEL`, JSON jobs on stdin -> JSON lists.

A job is `{prompt: [ids], asked: {keyword: value}}`; each gets a fresh `Llama`, so that none inherits a seed.
"""

import json
import sys

import llama_cpp


def drawn(job):
    asked = dict(job["asked"])
    if "grammar" in asked:
        asked["grammar"] = llama_cpp.LlamaGrammar.from_string(asked["grammar"], verbose=False)
    llama = llama_cpp.Llama(sys.argv[1], n_ctx=512, n_threads=1, n_threads_batch=1, flash_attn=True, verbose=False)
    ids, own = [], llama.generate

    def watched(*given, **named):
        for token in own(*given, **named):
            ids.append(int(token))
            yield token

    llama.generate = watched
    llama.create_completion(job["prompt"], **asked)
    return ids


print(json.dumps([drawn(job) for job in json.load(sys.stdin)]))
