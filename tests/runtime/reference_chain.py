"""Ids that llama.cpp's own sampler chain draws, in a process of its own: `MODEL IDS SAMPLING N` -> JSON list."""

import ctypes
import json
import sys

import llama_cpp.llama_cpp as llama

path, ids, sampling, count = sys.argv[1], *map(json.loads, sys.argv[2:5])
silent = llama.llama_log_callback(lambda *_: None)  # must outlive every call
llama.llama_log_set(silent, ctypes.c_void_p(0))
llama.llama_backend_init()
model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
params = llama.llama_context_default_params()
params.n_ctx, params.n_batch, params.n_ubatch = 4096, 512, 512
params.n_threads = params.n_threads_batch = 2
context = llama.llama_init_from_model(model, params)
n_vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
for sampler in (
    llama.llama_sampler_init_penalties(n_vocab, sampling["repeat_last_n"], sampling["repeat_penalty"], 0.0, 0.0),
    llama.llama_sampler_init_top_k(sampling["top_k"]),
    llama.llama_sampler_init_top_p(sampling["top_p"], 0),
    llama.llama_sampler_init_min_p(sampling["min_p"], 0),
    llama.llama_sampler_init_temp_ext(sampling["temperature"], 0.0, 1.0),
    llama.llama_sampler_init_dist(sampling["seed"]),
):
    llama.llama_sampler_chain_add(chain, sampler)
tokens = (ctypes.c_int32 * len(ids))(*ids)
assert llama.llama_decode(context, llama.llama_batch_get_one(tokens, len(ids))) == 0
for token in ids:
    llama.llama_sampler_accept(chain, token)
drawn = []
for _ in range(count):
    drawn.append(llama.llama_sampler_sample(chain, context, -1))
    one = (ctypes.c_int32 * 1)(drawn[-1])
    assert llama.llama_decode(context, llama.llama_batch_get_one(one, 1)) == 0
print(json.dumps(drawn))
