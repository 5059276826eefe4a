"""Every adapter of PEFT's own method comparison can be said with our settings.

The experiments are folders of huggingface/peft, method_comparison/MetaMathQA/experiments, without their prefix
"llama-3.2-3B-"; the fields are what their adapter_config.json sets to something else than peft's default. Left
out are those of methods that peft 0.21.2 does not have: bone (now MiSS), ewora, finegates, paca, and loha with
Khatri-Rao products; and road/variant2, which names a variant that peft does not know.
"""

from __future__ import annotations

from dataclasses import asdict

import pytest

from tests.worker.methods.small import NEEDS_SKLEARN

ATTENTION, MLP = {"q_proj", "k_proj", "v_proj", "o_proj"}, {"gate_proj", "up_proj", "down_proj"}
ON_MLP = "gate_proj,up_proj,down_proj"
EVERY = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
QV = {"targets": "q_proj,v_proj"}
ON_QV = {"target_modules": {"q_proj", "v_proj"}}
PLAIN = {"dropout": 0.0, "targets": "default"}
"""LoRA as peft starts it."""
R32 = {**PLAIN, "rank": 32, "alpha": 64}
LORA_R32 = {"r": 32, "lora_alpha": 64, "lora_dropout": 0.0, "target_modules": None}
BLOCKS = {"target_modules_bd_a": ["o_proj", "down_proj"], "nblocks": 2, "match_strict": True,
          "target_modules_bd_b": ["q_proj", "k_proj", "v_proj", "up_proj", "gate_proj"]}  # fmt: skip
PSOFT_FAST = {"svd": "lowrank", "use_cayley_neumann": True}

EXPERIMENTS = {
    "adalora/rank32": ("adalora", {"rank": 32, "init_rank": 64, "tinit": 200, "tfinal": 500, "steps": 5000},
                       {"target_r": 32, "init_r": 64, "tinit": 200, "tfinal": 500, "total_step": 5000}),
    "adamss/rank32": ("adamss", {"subspaces": 32}, {"r": 100, "num_subspaces": 32}),
    "adaptionprompt/lr_0.0005": ("adaption_prompt", {"num_virtual_tokens": 100, "layers": 28},
                                 {"adapter_len": 100, "adapter_layers": 28}),
    "bdlora/rank46": ("bdlora", {"rank": 46, "alpha": 92, "dropout": 0.0, "targets": EVERY},
                      {"r": 46, "lora_alpha": 92, "target_modules": ATTENTION | MLP, "use_bdlora": BLOCKS}),
    "beft/target-v_proj": ("beft", {"targets": "v_proj"}, {"target_modules": {"v_proj"}}),
    "boft/default": ("boft", {}, {"boft_block_size": 4, "boft_block_num": 0, "boft_n_butterfly_factor": 1}),
    # init_weights is false there, which peft takes for the same as xavier_uniform
    "c3a/default": ("c3a", {"block_size": 64, **QV}, {"block_size": 64, "init_weights": "xavier_uniform", **ON_QV}),
    "deft/rank32": ("deft", {"rank": 32, "alpha": 128}, {"r": 32, "alpha": 128, "decomposition_method": "relu"}),
    "deft/rank32-para": ("deft", {"rank": 32, "decomposition_method": "qr", "para": True},
                         {"r": 32, "alpha": None, "decomposition_method": "qr", "para": True}),
    "delora/rank32": ("delora", {"rank": 32}, {"r": 32, "delora_lambda": 15}),
    "fourierft/default": ("fourierft", {"scaling": 300.0, **QV}, {"n_frequency": 1000, "scaling": 300, **ON_QV}),
    "fourierft/n_frequency-5000": ("fourierft", {"n_frequency": 5000, "scaling": 300.0, **QV},
                                   {"n_frequency": 5000, "scaling": 300, "random_loc_seed": 777, **ON_QV}),
    "frod/default": ("frod", {"offload": True}, {"runtime_offload_base_weight": True, "sparse_rate": 0.01}),
    "frod/sparse0.02-lr_0.001": ("frod", {"offload": True, "sparse_rate": 0.02},
                                 {"runtime_offload_base_weight": True, "sparse_rate": 0.02}),
    "glora/default": ("glora", QV, {"r": 8, "config_A_B": "lora", "config_C": "lora", **ON_QV}),
    "glora/vector-paths": ("glora", {"weights": "vector", "prompt": "vector", **QV},
                           {"config_A_B": "vector", "config_C": "vector", "config_D_E": "constant", **ON_QV}),
    "gralora/rank32": ("gralora", {"rank": 32}, {"r": 32, "alpha": 64, "gralora_k": 2, "hybrid_r": 0}),
    "hira/rank32-lr4.5e-3": ("hira", {"rank": 32, **QV}, {"r": 32, **ON_QV}),
    "hra/rank32": ("hra", {"rank": 32}, {"r": 32, "apply_GS": False}),
    "ia3/default": ("ia3", {}, {"target_modules": None, "feedforward_modules": None}),
    "ia3/test": ("ia3", {"targets": "q_proj,k_proj,v_proj,down_proj", "feedforward": "down_proj"},
                 {"target_modules": {"q_proj", "k_proj", "v_proj", "down_proj"}, "feedforward_modules": {"down_proj"}}),
    "ia3/all-attn-5k-lr0.005": ("ia3", {"targets": EVERY, "feedforward": "down_proj,gate_proj,up_proj"},
                                {"target_modules": ATTENTION | MLP, "feedforward_modules": MLP}),
    "lily/rank140-mlp-a2-b2-s8.0": ("lily", {"rank": 140, "stride_a": 14, "scaling": 8.0,
                                             "targets": ON_MLP},
                                    {"r": 140, "stride_A": 14, "num_B": 2, "scaling": 8.0, "target_modules": MLP}),
    "lily/rank168-all-a2-b2-s4.0": ("lily", {"rank": 168, "stride_a": 14, "scaling": 4.0, "targets": EVERY},
                                    {"r": 168, "stride_A": 14, "scaling": 4.0, "target_modules": ATTENTION | MLP}),
    "lily/rank84-all-a2-b2-s4.0": ("lily", {"rank": 84, "stride_a": 14, "scaling": 4.0, "targets": EVERY},
                                   {"r": 84, "stride_A": 14, "scaling": 4.0, "target_modules": ATTENTION | MLP}),
    "lily/rank448-a2-b2-s8.0": ("lily", {"rank": 448, "stride_a": 14, "scaling": 8.0, **QV},
                                {"r": 448, "stride_A": 14, "scaling": 8.0, **ON_QV}),
    "lily/rank896-a2-b2-s2.0": ("lily", {"rank": 896, "stride_a": 14, "scaling": 2.0, **QV},
                                {"r": 896, "stride_A": 14, "scaling": 2.0, **ON_QV}),
    "ln_tuning/default": ("ln_tuning", {}, {"target_modules": None}),
    "loha/rank32": ("loha", {"rank": 32, "alpha": 64, **QV}, {"r": 32, "alpha": 64, **ON_QV}),
    "lokr/rank32": ("lokr", {"rank": 32, "alpha": 64, **QV}, {"r": 32, "alpha": 64, "decompose_factor": -1, **ON_QV}),
    "lokr/rank32-factor4-lr0.003": ("lokr", {"rank": 32, "alpha": 64, "decompose_factor": 4, **QV},
                                    {"r": 32, "alpha": 64, "decompose_factor": 4, **ON_QV}),
    "lora/rank10-target-mlp": ("lora", {"rank": 10, "alpha": 20, "dropout": 0.0, "targets": ON_MLP},
                               {"r": 10, "lora_alpha": 20, "lora_dropout": 0.0, "target_modules": MLP}),
    "lora/rank10-target-mlp-velora": (
        "velora", {"rank": 10, "alpha": 20, "dropout": 0.0, "targets": ON_MLP, "groups": 32,
                   "init_type": "batch_average_once"},
        {"r": 10, "lora_alpha": 20, "target_modules": MLP,
         "velora_config": {"num_groups": 32, "scale": 1.0, "init_type": "batch_average_once"}}),
    "lora/rank14-target-mlp-bdlora": (
        "bdlora", {"rank": 14, "alpha": 28, "dropout": 0.0, "targets": ON_MLP},
        {"r": 14, "lora_alpha": 28, "target_modules": MLP, "use_bdlora": BLOCKS}),
    "lora/rank16-all-linear-lr3e-4": ("lora", {"rank": 16, "alpha": 32, "dropout": 0.0, "targets": "all-linear"},
                                      {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}),
    "lora/rank32": ("lora", R32, LORA_R32),
    "lora/rank32-dora": ("dora", R32, {**LORA_R32, "use_dora": True}),
    "lora/rank32-kasa": ("kasa", R32, {**LORA_R32, "kasa_config": {"beta": 1e-4, "gamma": 1e-3}}),
    "lora/rank32-lorafa": ("lorafa", R32, LORA_R32),
    "lora/rank32-mica": ("mica", R32, {**LORA_R32, "init_lora_weights": "mica"}),
    "lora/rank32-riemannian": ("lora_riemannian", {**R32, "regularization": 1e-2}, LORA_R32),
    "lora/rank44-bdlora": ("bdlora", {**PLAIN, "rank": 44, "alpha": 88}, {"r": 44, "use_bdlora": BLOCKS}),
    "lora/rank64": ("lora", {**PLAIN, "rank": 64, "alpha": 128}, {"r": 64, "lora_alpha": 128}),
    "lora/rank64-rslora": ("rslora", {**PLAIN, "rank": 64, "alpha": 64},
                           {"r": 64, "lora_alpha": 64, "use_rslora": True}),
    "miss/default": ("miss", {}, {"r": 64, "mini_r": 1, "init_weights": True}),
    "miss/bat": ("miss", {"init": "bat"}, {"r": 64, "init_weights": "bat"}),
    "miss/mini": ("miss", {"init": "mini", "mini_rank": 64}, {"r": 64, "mini_r": 64, "init_weights": "mini"}),
    "oft/rank32": ("oft", {"rank": 32, **QV}, {"r": 32, "oft_block_size": 0, **ON_QV}),
    "osf/default": ("osf", {"targets": EVERY}, {"effective_rank": None, "rank_pattern": None}),
    "peanut/rank1-relu-depth0-s32.0": ("peanut", {"rank": 1, "scaling": 32.0, **QV},
                                       {"r": 1, "depth": 0, "scaling": 32.0, "act_fn": "relu", **ON_QV}),
    "peanut/rank1-relu-depth2-s32.0": ("peanut", {"rank": 1, "depth": 2, "scaling": 32.0, **QV},
                                       {"r": 1, "depth": 2, "scaling": 32.0, **ON_QV}),
    "peanut/rank32-relu-depth0-s2.0": ("peanut", {"scaling": 2.0, **QV}, {"r": 32, "scaling": 2.0, **ON_QV}),
    "peanut/rank32-relu-depth2-s2.0": ("peanut", {"depth": 2, "scaling": 2.0, **QV},
                                       {"r": 32, "depth": 2, "scaling": 2.0, **ON_QV}),
    "prefixtuning/lr_0.001": ("prefix_tuning", {"num_virtual_tokens": 200},
                              {"num_virtual_tokens": 200, "prefix_projection": False, "init_weights": None}),
    "prefixtuning/lr_0.005_zero_init": ("prefix_tuning", {"num_virtual_tokens": 200, "init": "zero"},
                                        {"num_virtual_tokens": 200, "init_weights": "zero"}),
    # the keys and values that the next two start from are text, which decides no size
    "prefixtuning/tokens3-sos_prefix-lr_0.005": ("prefix_tuning", {"num_virtual_tokens": 3, "init": "zero"},
                                                 {"num_virtual_tokens": 3, "init_weights": "zero"}),
    "prefixtuning/tokens50-init_prefix-lr_0.005": ("prefix_tuning", {"num_virtual_tokens": 50, "init": "zero"},
                                                   {"num_virtual_tokens": 50, "init_weights": "zero"}),
    "prompt_tuning/lr_0.001": ("prompt_tuning", {"num_virtual_tokens": 200},
                               {"num_virtual_tokens": 200, "prompt_tuning_init": "RANDOM"}),
    "prompt_tuning/sample_vocab-lr_0.001": ("prompt_tuning", {"num_virtual_tokens": 200, "init": "SAMPLE_VOCAB"},
                                            {"num_virtual_tokens": 200, "prompt_tuning_init": "SAMPLE_VOCAB"}),
    "psoft/default": ("psoft", {"rank": 256, "alpha": 256}, {"r": 256, "psoft_alpha": 256, "psoft_svd": "full"}),
    "psoft/r128": ("psoft", {"rank": 128, "alpha": 128}, {"r": 128, "psoft_alpha": 128}),
    "psoft/fast": ("psoft", {"rank": 256, "alpha": 256, **PSOFT_FAST},
                   {"r": 256, "psoft_svd": "lowrank", "use_cayley_neumann": True, "psoft_svd_lowrank_niter": 10}),
    "ptuning/default": ("p_tuning", {"encoder_hidden_size": 3072},
                        {"num_virtual_tokens": 20, "encoder_hidden_size": 3072, "encoder_num_layers": 2}),
    "ptuning/vt10-MLP": ("p_tuning", {"num_virtual_tokens": 10, "encoder_hidden_size": 3072},
                         {"num_virtual_tokens": 10, "encoder_reparameterization_type": "MLP"}),
    "ptuning/vt20-LSTM": ("p_tuning", {"encoder": "LSTM", "encoder_hidden_size": 3072},
                          {"num_virtual_tokens": 20, "encoder_reparameterization_type": "LSTM"}),
    "ptuning/vt30-MLP": ("p_tuning", {"num_virtual_tokens": 30, "encoder_hidden_size": 3072},
                         {"num_virtual_tokens": 30, "encoder_dropout": 0.0}),
    "ptuning/vt50-LSTM": ("p_tuning", {"num_virtual_tokens": 50, "encoder": "LSTM", "encoder_hidden_size": 3072},
                          {"num_virtual_tokens": 50, "encoder_reparameterization_type": "LSTM"}),
    "pvera/default": ("pvera", {}, {"r": 256, "d_initial": 0.1, "projection_prng_key": 0}),
    "pvera/rank128": ("pvera", {"rank": 128}, {"r": 128}),
    "pvera/rank512": ("pvera", {"rank": 512}, {"r": 512}),
    "pvera/rank64": ("pvera", {"rank": 64}, {"r": 64}),
    "randlora/default": ("randlora", {}, {"r": 32, "randlora_alpha": 640, "sparse": False, "very_sparse": False}),
    "road/lr_0.001": ("road", {"variant": "road_2"}, {"variant": "road_2", "group_size": 64}),
    "shadow/default": ("shadow", {"shadow_hidden_size": 32, "shadow_intermediate_size": 256, "shadow_heads": 8,
                                  "shadow_layers": 1},
                       {"shadow_alpha": 0.1, "shadow_hidden_size": 32, "shadow_intermediate_size": 256,
                        "shadow_num_attention_heads": 8, "shadow_num_hidden_layers": 1}),
    "shadow/mirror": ("shadow", {"shadow_hidden_size": 32, "shadow_intermediate_size": 256, "shadow_heads": 8,
                                 "shadow_layers": 1, "alpha": 0.5, "auxiliary_loss_weight": 0.01},
                      {"shadow_alpha": 0.5, "auxiliary_loss_weight": 0.01}),
    "shadow/tuned": ("shadow", {"shadow_hidden_size": 32, "shadow_intermediate_size": 256, "shadow_heads": 8,
                                "shadow_layers": 1, "alpha": 0.5},
                     {"shadow_alpha": 0.5, "auxiliary_loss_weight": 0.05, "shadow_dropout": 0.2}),
    "shira/lr_0.0003-random_seed_42": ("shira", {"projection_seed": 42}, {"r": 32, "random_seed": 42}),
    "supertuning/s974-topk": ("supertuning", {"sparsity": 0.974, **QV}, {"sparsity": 0.974, "r": None, **ON_QV}),
    "supertuning/s9935-topk": ("supertuning", {"sparsity": 0.9935, **QV}, {"sparsity": 0.9935, "select_top": True}),
    "supertuning/s9935-bottomk": ("supertuning", {"sparsity": 0.9935, "select_top": False, **QV},
                                  {"sparsity": 0.9935, "select_top": False, "lora_alpha": None}),
    "supertuning/s99-supra-r8": ("supertuning", {"rank": 8, "alpha": 16.0, **QV},
                                 {"r": 8, "lora_alpha": 16.0, "sparsity": 0.99}),
    "supertuning/s99-supra-r32": ("supertuning", {"rank": 32, "alpha": 64.0, **QV}, {"r": 32, "lora_alpha": 64.0}),
    "tinylora/default": ("tinylora", {}, {"r": 2, "u": 64, "weight_tying": 0.0, "projection_seed": 42}),
    "tinylora/weight-tying": ("tinylora", {"weight_tying": 1.0}, {"r": 2, "u": 64, "weight_tying": 1.0}),
    "trainable_tokens/sos+eos": ("trainable_tokens", {}, {"token_indices": [128000, 128001]}),
    "unilora/default": ("unilora", {"rank": 32, **QV}, {"r": 32, "theta_d_length": 256, "proj_seed": 42}),
    "unilora/r4-td131072-lr0.002": ("unilora", {"vector_length": 131072, **QV}, {"r": 4, "theta_d_length": 131072}),
    "unilora/r4-td524288-lr0.002": ("unilora", {"vector_length": 524288, **QV}, {"r": 4, "theta_d_length": 524288}),
    "vblora/default": ("vblora", QV, {"r": 4, "num_vectors": 256, "vector_length": 256, "topk": 2, **ON_QV}),
    "vblora/bank1024-lr5e4": ("vblora", {"vectors": 1024, **QV}, {"num_vectors": 1024, **ON_QV}),
    "vera/default": ("vera", {}, {"r": 256, "d_initial": 0.1, "projection_prng_key": 0, "save_projection": True}),
    "waveft/default": ("waveft", QV, {"n_frequency": 2592, "scaling": 25.0, "wavelet_family": "db1", **ON_QV}),
    "waveft/n_frequency-5000": ("waveft", {"n_frequency": 5000, **QV}, {"n_frequency": 5000, "use_idwt": True}),
    "waveft/scaling-50": ("waveft", {"scaling": 50.0, **QV}, {"n_frequency": 2592, "scaling": 50.0}),
}  # fmt: skip
CASES = [
    pytest.param(*said, id=name, marks=NEEDS_SKLEARN if "adamss" in name else ()) for name, said in EXPERIMENTS.items()
]


@pytest.mark.parametrize(("method", "options", "fields"), CASES)
def test_an_experiments_adapter_is_what_peft_is_given(handed_to_peft, method, options, fields):
    """With these options peft's config has the experiment's values."""
    found = asdict(handed_to_peft(method, **options))

    assert {name: found[name] for name in fields} == fields


def test_osf_freezes_all_but_the_directions_that_are_trained(handed_to_peft):
    """osf/rank128 says for every layer how many directions stay: 128 fewer than its smaller side."""
    stays = {"q_proj": 2944, "o_proj": 2944, "k_proj": 896, "v_proj": 896,
             "gate_proj": 2944, "down_proj": 2944, "up_proj": 2944}  # fmt: skip
    pattern = handed_to_peft("osf", rank=128, targets=EVERY, autocast_adapter_dtype=False).rank_pattern

    assert {name: pattern[rf"model\.layers\.27\.{place}\.{name}$"] for place, names in
            (("self_attn", ATTENTION), ("mlp", MLP)) for name in names} == stays  # fmt: skip
