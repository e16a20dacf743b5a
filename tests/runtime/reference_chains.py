"""Ids that llama.cpp's own chains draw, in a process of its own: `MODEL`, a JSON job on stdin -> JSON lists.

The job is `{ids, count, samplings}`. The chain is put together here a second time, as llama.cpp's
common_sampler_init does it, and drawn from by llama_sampler_sample: nothing of the workbench takes part.
"""

import ctypes
import json
import sys

import llama_cpp.llama_cpp as llama

job = json.load(sys.stdin)
silent = llama.llama_log_callback(lambda *_: None)  # must outlive every call
llama.llama_log_set(silent, ctypes.c_void_p(0))
llama.llama_backend_init()
model = llama.llama_model_load_from_file(sys.argv[1].encode(), llama.llama_model_default_params())
params = llama.llama_context_default_params()
params.n_ctx, params.n_batch, params.n_ubatch = 4096, 512, 512
params.n_threads = params.n_threads_batch = 1
context = llama.llama_init_from_model(model, params)
vocab = llama.llama_model_get_vocab(model)
n_vocab = llama.llama_vocab_n_tokens(vocab)


def named(name, s):
    match name:
        case "penalties":
            return llama.llama_sampler_init_penalties(
                n_vocab, s["repeat_last_n"], s["repeat_penalty"], s["frequency_penalty"], s["presence_penalty"]
            )
        case "dry":
            texts = [text.encode() for text in s["dry_sequence_breakers"]]
            breakers = (ctypes.c_char_p * len(texts))(*texts)
            shape = s["dry_multiplier"], s["dry_base"], s["dry_allowed_length"], s["dry_penalty_last_n"]
            return llama.llama_sampler_init_dry(vocab, *shape, breakers, len(texts))
        case "top_n_sigma":
            return llama.llama_sampler_init_top_n_sigma(s["top_n_sigma"])
        case "top_k":
            return llama.llama_sampler_init_top_k(s["top_k"])
        case "typ_p":
            return llama.llama_sampler_init_typical(s["typical_p"], s["min_keep"])
        case "top_p":
            return llama.llama_sampler_init_top_p(s["top_p"], s["min_keep"])
        case "min_p":
            return llama.llama_sampler_init_min_p(s["min_p"], s["min_keep"])
        case "xtc":
            return llama.llama_sampler_init_xtc(s["xtc_probability"], s["xtc_threshold"], s["min_keep"], s["seed"])
        case "temperature":
            return llama.llama_sampler_init_temp_ext(s["temperature"], s["dynatemp_range"], s["dynatemp_exponent"])


def chain(s):
    made = []
    if s["logit_bias"]:
        biases = (llama.llama_logit_bias * len(s["logit_bias"]))()
        for item, (token, bias) in zip(biases, s["logit_bias"].items(), strict=True):
            item.token, item.bias = int(token), -float("inf") if bias is False else bias
        made.append(llama.llama_sampler_init_logit_bias(n_vocab, len(biases), biases))
    if s["mirostat"]:
        made.append(llama.llama_sampler_init_temp(s["temperature"]))
        shape = s["seed"], s["mirostat_tau"], s["mirostat_eta"]
        if s["mirostat"] == 1:
            made.append(llama.llama_sampler_init_mirostat(n_vocab, *shape, 100))
        else:
            made.append(llama.llama_sampler_init_mirostat_v2(*shape))
    else:
        made += [named(name, s) for name in s["samplers"] if name != "adaptive_p"]
        if "adaptive_p" in s["samplers"]:
            made.append(llama.llama_sampler_init_adaptive_p(s["adaptive_target"], s["adaptive_decay"], s["seed"]))
        else:
            made.append(llama.llama_sampler_init_dist(s["seed"]))
    whole = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
    for sampler in made:
        llama.llama_sampler_chain_add(whole, sampler)
    return whole


def draw(sampling):
    ids, whole = job["ids"], chain(sampling)
    llama.llama_memory_clear(llama.llama_get_memory(context), False)
    tokens = (ctypes.c_int32 * len(ids))(*ids)
    assert llama.llama_decode(context, llama.llama_batch_get_one(tokens, len(ids))) == 0
    for token in ids:
        llama.llama_sampler_accept(whole, token)
    drawn = []
    while len(drawn) < job["count"]:
        drawn.append(llama.llama_sampler_sample(whole, context, -1))
        if llama.llama_vocab_is_eog(vocab, drawn[-1]):
            break
        one = (ctypes.c_int32 * 1)(drawn[-1])
        assert llama.llama_decode(context, llama.llama_batch_get_one(one, 1)) == 0
    llama.llama_sampler_free(whole)
    return drawn


print(json.dumps([draw(sampling) for sampling in job["samplings"]]))
