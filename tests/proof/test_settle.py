"""What follows from proofs: the best variant that holds, no extra buffers, or a refusal."""

import pytest

from workbench.proof import Proof, Result
from workbench.proof.cases import CASES
from workbench.proof.settle import decide
from workbench.runtime.limits import Limits

FEATURES = {"amx": ("AVX2", "AVX-512", "AMX-INT8"), "avx512": ("AVX2", "AVX-512"), "plain": ()}


def never(case):
    return False


def always(case):
    return True


def with_buffers(case):
    return case.extra_buffers


def proof(variant="", *, dead=never):
    results = tuple(
        Result(*case, "died", "was ended by SIGILL") if dead(case) else Result(*case, "right", "", 0.0001)
        for case in CASES
    )
    return Proof(variant, FEATURES.get(variant, ()), results)


def decided(*proofs, strict=False):
    by_name = {each.variant: each for each in proofs}
    return decide(list(by_name), by_name.__getitem__, strict=strict)


def test_a_build_that_holds_has_no_limits():
    settled = decided(proof())
    assert settled.taken == proof()
    assert settled.limits == Limits()
    assert settled.sentence == "this build of llama.cpp computes toolsmith as it should in all 10 cases"


def test_the_best_variant_that_holds_is_taken_and_those_above_it_are_refused():
    settled = decided(proof("amx", dead=with_buffers), proof("avx512"), proof("plain"))
    assert settled.taken.variant == "avx512"
    assert len(settled.proofs) == 2, "no more is tried than is needed"
    assert settled.limits.refused_variants == ("amx",)
    assert not settled.limits.no_extra_bufts
    assert "without AMX-INT8 here" in settled.sentence
    assert "F16 with extra buffers was ended by SIGILL" in settled.sentence


@pytest.mark.parametrize("strict", [False, True])
def test_a_build_that_holds_only_without_extra_buffers_is_used_without_them_unless_that_is_not_enough(strict):
    settled = decided(proof(dead=with_buffers), strict=strict)
    assert (settled.taken is None) == strict
    assert settled.limits.no_extra_bufts != strict
    assert "SIGILL" in settled.sentence


def test_wide_vectors_without_extra_buffers_go_before_a_plain_variant_with_them():
    settled = decided(proof("avx512", dead=with_buffers), proof("plain"))
    assert settled.taken.variant == "avx512"
    assert settled.limits.no_extra_bufts
    assert settled.limits.refused_variants == ()


def test_of_variants_that_hold_by_halves_the_best_is_taken_and_only_those_above_it_are_refused():
    settled = decided(proof("amx", dead=always), proof("avx512", dead=with_buffers), proof("plain", dead=always))
    assert settled.taken.variant == "avx512"
    assert settled.limits.refused_variants == ("amx",)
    assert settled.limits.no_extra_bufts


def test_where_nothing_holds_nothing_is_taken():
    settled = decided(proof("amx", dead=always), proof("plain", dead=always))
    assert settled.taken is None
    assert settled.limits == Limits()
    assert settled.to_dict()["usable"] is False


def test_a_proof_with_a_case_missing_does_not_hold():
    whole = proof()
    assert whole.holds
    assert not Proof("", (), whole.results[:-1]).holds
    assert not Proof("", (), whole.results[:-1]).holds_without_extra_buffers


def test_a_proof_goes_there_and_back():
    found = proof("amx", dead=with_buffers)
    assert Proof.from_dict(found.to_dict()) == found
