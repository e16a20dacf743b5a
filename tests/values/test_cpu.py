"""The processor's features: read from what systems write, and from what llama.cpp says of its build."""

import platform

import pytest

from workbench import cpu
from workbench.cpu import Features, of_build, of_cpuinfo, of_sysctl

XEON = "flags\t\t: fpu pni ssse3 avx f16c fma bmi2 avx2 avx512f avx512cd avx512vl avx512dq avx512bw amx_tile amx_int8"


def test_the_flags_of_linux_become_the_field_s_names():
    assert of_cpuinfo(f"processor\t: 0\n{XEON}\n").names == (
        *("SSE3", "SSSE3", "AVX", "F16C", "FMA", "BMI2", "AVX2", "AVX-512", "AMX-TILE", "AMX-INT8"),
    )


def test_avx_512_takes_all_five_flags():
    assert "AVX-512" not in of_cpuinfo(XEON.replace("avx512vl ", "")).names


def test_a_feature_counts_where_every_processor_has_it():
    text = "Features\t: fp asimd asimddp sve\n\nFeatures\t: fp asimd asimddp\n"
    assert of_cpuinfo(text).names == ("NEON", "ARM FMA", "DOTPROD")


@pytest.mark.parametrize("text", ["", "isa\t\t: rv64imafdcv\n", "flags\t: fpu\n", "\0\ud800"])
def test_what_lists_nothing_known_is_unknown_and_says_why(text):
    found = of_cpuinfo(text)
    assert found.names == ()
    assert found.unknown
    assert found.unknown in str(found)


def test_both_kinds_of_macs_are_read():
    intel = "machdep.cpu.features: FPU SSE3 AVX1.0 F16C\nmachdep.cpu.leaf7_features: BMI2 AVX2\n"
    own = "hw.optional.AdvSIMD: 1\nhw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_I8MM: 0\n"
    assert of_sysctl(intel).names == ("SSE3", "AVX", "F16C", "BMI2", "AVX2")
    assert of_sysctl(own).names == ("NEON", "ARM FMA", "DOTPROD")


def test_llama_cpp_s_own_text_gives_the_build_s_features():
    said = "CPU : SSE3 = 1 | AVX = 1 | AVX512 = 0 | AMX_INT8 = 1 | LLAMAFILE = 1 | OPENMP = 1 | "
    assert of_build(said).names == ("SSE3", "AVX", "AMX-INT8")
    assert of_build("CPU : NEON = 1 | MATMUL_INT8 = 1 | SVE_CNT = 16 | ").names == ("NEON", "I8MM")
    assert of_build("").unknown


def test_what_one_has_and_the_other_has_not():
    assert Features(("AVX", "AVX2")).without(Features(("AVX",))) == ("AVX2",)
    assert Features(("AVX",)).without(Features(unknown="nobody says")) == ()


@pytest.mark.skipif(not cpu.CPUINFO.is_file(), reason="reads this machine's /proc/cpuinfo; un-skip where there is one")
def test_this_machine_is_read():
    found = cpu.machine()
    assert found.names or found.unknown
    assert ("SSE3" in found.names) == (platform.machine() == "x86_64")
