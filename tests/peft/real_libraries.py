#!/usr/bin/env python3
"""The libraries' side of `tests/it/real_libraries.rs`, which calls it.

    real_libraries.py open peft|adapters|transformers FOLDER
    real_libraries.py write peft|adapters FOLDER BASE...
    real_libraries.py encoders peft|adapters FOLDER
    real_libraries.py write_heads peft|adapters FOLDER BASE...
    real_libraries.py two_stacks peft FOLDER

FOLDER/BASE/NAME is an adapter of the model parity/BASE of the fixtures (or a whole model): the library's own files, and
case.safetensors with a row of tokens ("ids") and the logits for them. `open` says in FOLDER/errors.json how far from those
the library's logits are, as a share of the largest. `encoders` does so with adapters and models of parity/encoders/NAME/KIND in
FOLDER/NAME/KIND, where KIND says what the logits are: of masked tokens, of classes ("scores"), or the states of an adapter whose heads
are those of several tasks ("states"). `write_heads` writes adapters
of the models with heads there. `two_stacks` does
so with those of parity/t5/NAME in FOLDER/NAME/KIND, whose "ids" are read and "written" are written. A tensor that the library does not take as it is ends it with an error.
"""
import json
import os
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

logging.disable_progress_bar()
FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "parity")
CASE = "case.safetensors"
# Where all biases are trained, PEFT lists that of a module that is trained whole twice more.
REPEATED = (".modules_to_save.", ".original_module.")


def load_model(folder):
    """Without a word about tensors that are missing or have no place, or it is an error."""
    model, found = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not any(found.values()), (folder, found)
    return model.eval()


def base_model(base):
    return load_model(os.path.join(FIXTURES, base, "model"))


@torch.no_grad()
def logits_of(model, ids):
    return model(input_ids=ids[None], use_cache=False).logits[0, -len(ids):].contiguous()


def difference(got, expected):
    return ((got - expected).abs().max() / expected.abs().max()).item()


def require_same(taken, written, name):
    assert set(taken) == set(written), (name, set(taken) ^ set(written))
    for key, value in written.items():
        assert torch.equal(taken[key], value), (name, key)


def open_peft(model, folder):
    import peft

    model = peft.PeftModel.from_pretrained(model, folder).eval()
    taken = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    taken = {key: value for key, value in taken.items() if not any(part in key for part in REPEATED)}
    require_same(taken, load_file(os.path.join(folder, "adapter_model.safetensors")), folder)
    return model


def open_adapters(model, folder):
    import adapters

    adapters.init(model)
    name = model.load_adapter(folder, use_safetensors=True, set_active=True)
    taken = {key: value for key, value in model.state_dict().items() if f".adapters.{name}." in key}
    require_same(taken, load_file(os.path.join(folder, "adapter.safetensors")), folder)
    head = os.path.join(folder, "model_head.safetensors")
    if os.path.exists(head):
        written = load_file(head)
        require_same({key: value for key, value in model.state_dict().items() if key in written}, written, folder)
    return model.eval()


OPEN = {"peft": open_peft, "adapters": open_adapters, "transformers": lambda _, folder: load_model(folder)}


def open_all(library, root):
    errors = {}
    for folder, _, files in os.walk(root):
        if CASE not in files:
            continue
        name = os.path.relpath(folder, root).replace(os.sep, "/")
        base = os.path.dirname(name)
        case = load_file(os.path.join(folder, CASE))
        ids = case["ids"].long()
        got = logits_of(OPEN[library](base_model(base), folder), ids)
        assert difference(got, logits_of(base_model(base), ids)) > 1e-3, f"{name} does nothing"
        errors[name] = difference(got, case["logits"])
        print(f"{name}: {errors[name]:.1e}")
    with open(os.path.join(root, "errors.json"), "w") as out:
        json.dump(errors, out)


def encoder_in(folder, kind):
    from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification

    if kind == "states":
        return AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    opened = {"masked": AutoModelForMaskedLM, "scores": AutoModelForSequenceClassification}[kind]
    model, found = opened.from_pretrained(folder, attn_implementation="eager", output_loading_info=True)
    # An untied RoBERTa has a bias that it does not use.
    left = {key for keys in found.values() for key in keys} - {"lm_head.bias"}
    assert not left, (folder, found)
    return model.eval()


@torch.no_grad()
def encoder_logits(model, ids):
    logits = model(input_ids=ids[None])[0]
    return logits.reshape(-1, logits.shape[-1]).contiguous()


def open_body(model, folder):
    """What PEFT takes of an adapter of several tasks: all but their heads, which it says that it did not expect."""
    import peft

    model = peft.PeftModel(model, peft.PeftConfig.from_pretrained(folder))
    found = model.load_adapter(folder, "default")
    written = load_file(os.path.join(folder, "adapter_model.safetensors"))
    assert not found.missing_keys, found
    assert set(found.unexpected_keys) == {key for key in written if ".heads." in key} != set(), found
    return model.eval()


def open_encoders(library, root):
    errors = {}
    for folder, _, files in os.walk(root):
        if CASE not in files:
            continue
        name = os.path.relpath(folder, root).replace(os.sep, "/")
        base, kind, how = name.split("/")
        source = os.path.join(FIXTURES, "encoders", base, "masked" if kind == "states" else kind)
        case = load_file(os.path.join(folder, CASE))
        ids = case["ids"].long()
        model = encoder_in(source, kind)
        before = encoder_logits(model, ids)
        if how in ("full", "merged"):
            tuned = encoder_in(folder, kind)
        else:
            tuned = (open_body if kind == "states" else OPEN[library])(model, folder)
        got = encoder_logits(tuned, ids)
        assert difference(got, before) > 1e-3, f"{name} does nothing"
        errors[name] = difference(got, case["logits"])
        print(f"{name}: {errors[name]:.1e}")
    with open(os.path.join(root, "errors.json"), "w") as out:
        json.dump(errors, out)


def open_two_stacks(library, root):
    from transformers import T5ForConditionalGeneration

    def model_in(folder):
        model, found = T5ForConditionalGeneration.from_pretrained(
            folder, attn_implementation="eager", output_loading_info=True)
        assert not any(found.values()), (folder, found)
        return model.eval()

    errors = {}
    for folder, _, files in os.walk(root):
        if CASE not in files:
            continue
        name = os.path.relpath(folder, root).replace(os.sep, "/")
        base, kind = name.split("/")
        case = load_file(os.path.join(folder, CASE))

        @torch.no_grad()
        def logits(model):
            written = case["written"].long()[None]
            return model(input_ids=case["ids"].long()[None], decoder_input_ids=written, use_cache=False).logits[0]

        before = model_in(os.path.join(FIXTURES, "t5", base, "model"))
        untuned = logits(before)
        got = logits(model_in(folder) if kind in ("full", "freeze") else open_peft(before, folder))
        assert difference(got, untuned) > 1e-3, f"{name} does nothing"
        errors[name] = difference(got, case["logits"])
        print(f"{name}: {errors[name]:.1e}")
    with open(os.path.join(root, "errors.json"), "w") as out:
        json.dump(errors, out)


def peft_configs(model):
    import peft

    kind = model.config.model_type
    attention, last = {
        "gpt2": ("c_attn", "mlp.c_proj"),
        "gpt_neox": ("query_key_value", "dense_4h_to_h"),
        "phi3": ("qkv_proj", "down_proj"),
    }.get(kind, ("v_proj", "down_proj"))
    whole = [{"gpt2": "ln_f", "gpt_neox": "final_layer_norm"}.get(kind, "norm")]
    if not model.config.tie_word_embeddings:
        whole.append("lm_head")
    task = dict(task_type="CAUSAL_LM")
    lora = dict(task, r=2, lora_alpha=6, target_modules="all-linear", fan_in_fan_out=kind == "gpt2")
    rows = dict(task, num_virtual_tokens=5)
    # PEFT takes the width's share of a head for a head's width.
    head_width = getattr(model.config, "head_dim", None) or model.config.hidden_size // model.config.num_attention_heads
    prefix = dict(rows, token_dim=head_width * model.config.num_attention_heads)
    return {
        "lora": peft.LoraConfig(**lora),
        "lora_own_weights": peft.LoraConfig(**lora, bias="all", modules_to_save=whole),
        "lora_rank_stabilised": peft.LoraConfig(**lora, use_rslora=True),
        "lora_ranks": peft.LoraConfig(**lora, rank_pattern={attention: 1, last: 3},
                                      alpha_pattern={rf".*\.1\..*{last}": 5}),
        "dora": peft.LoraConfig(**lora, use_dora=True),
        "ia3": peft.IA3Config(**task, target_modules=[attention, last], feedforward_modules=[last]),
        "prefix": peft.PrefixTuningConfig(**prefix),
        "prefix_projected": peft.PrefixTuningConfig(**prefix, prefix_projection=True, encoder_hidden_size=12),
        "prompt": peft.PromptTuningConfig(**rows),
        "p_tuning": peft.PromptEncoderConfig(**rows, encoder_hidden_size=12),
    }


def made_by_peft(base):
    import peft

    for kind, config in peft_configs(base_model(base)).items():
        model = peft.get_peft_model(base_model(base), config)
        yield kind, model, lambda folder: model.save_pretrained(folder, save_embedding_layers=False)


def made_by_adapters(base):
    import adapters

    for kind, config in {
        "houlsby": adapters.DoubleSeqBnConfig(reduction_factor=8, scaling=0.5),
        "pfeiffer": adapters.SeqBnConfig(reduction_factor=4, init_weights="mam_adapter"),
    }.items():
        model = base_model(base)
        adapters.init(model)
        model.add_adapter("tuned", config=config)
        model.train_adapter("tuned")
        yield kind, model, lambda folder: model.save_adapter(folder, "tuned", with_head=False, use_safetensors=True)


def write_all(library, root, *bases):
    torch.manual_seed(5)
    for base in bases:
        for kind, model, save in {"peft": made_by_peft, "adapters": made_by_adapters}[library](base):
            folder = os.path.join(root, base, kind)
            os.makedirs(folder)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    # As after some training: nothing is zero or one any more.
                    parameter.data += 0.1 * torch.randn_like(parameter)
            save(folder)
            ids = torch.arange(14) * 37 % (model.config.vocab_size - 3) + 3
            logits = logits_of(model.eval(), ids)
            assert difference(logits, logits_of(base_model(base), ids)) > 1e-3, f"{base} {kind} does nothing"
            save_file({"ids": ids, "logits": logits}, os.path.join(folder, CASE))


def heads_by_peft(load):
    import peft

    config = load().config
    names = {
        "bert": ["value", "output.dense"],
        "roberta": ["value", "output.dense"],
        "xlm-roberta": ["value", "output.dense"],
        "distilbert": ["v_lin", "lin2"],
        "modernbert": ["Wqkv", "mlp.Wo"],
        "llama": ["v_proj", "down_proj"],
    }[config.model_type]
    # PEFT finds not all of these by itself.
    rows = dict(task_type="SEQ_CLS", num_virtual_tokens=5, token_dim=config.hidden_size,
                num_layers=config.num_hidden_layers, num_attention_heads=config.num_attention_heads)
    configs = {
        "lora": peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=names[:1]),
        "ia3": peft.IA3Config(task_type="SEQ_CLS", target_modules=names, feedforward_modules=names[1:]),
        "prompt": peft.PromptTuningConfig(**rows),
        "p_tuning": peft.PromptEncoderConfig(**rows, encoder_hidden_size=12),
    }
    # Their models take no past keys and values.
    if config.model_type not in ("distilbert", "modernbert"):
        configs["prefix"] = peft.PrefixTuningConfig(**rows)
        configs["prefix_projected"] = peft.PrefixTuningConfig(**rows, prefix_projection=True, encoder_hidden_size=12)
    for kind, config in configs.items():
        model = peft.get_peft_model(load(), config)
        yield kind, model, lambda folder: model.save_pretrained(folder, save_embedding_layers=False)


def heads_by_adapters(load):
    import adapters

    for kind, config in {
        "houlsby": adapters.DoubleSeqBnConfig(reduction_factor=8, scaling=0.5),
        "pfeiffer": adapters.SeqBnConfig(reduction_factor=4, init_weights="mam_adapter"),
    }.items():
        model = load()
        adapters.init(model)
        model.add_adapter("tuned", config=config)
        model.train_adapter("tuned")
        yield kind, model, lambda folder: model.save_adapter(folder, "tuned", use_safetensors=True)


def write_heads(library, root, *bases):
    torch.manual_seed(6)
    for base in bases:
        def load():
            return encoder_in(os.path.join(FIXTURES, "encoders", base, "scores"), "scores")

        for kind, model, save in {"peft": heads_by_peft, "adapters": heads_by_adapters}[library](load):
            folder = os.path.join(root, base, kind)
            os.makedirs(folder)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.data += 0.1 * torch.randn_like(parameter)
            save(folder)
            ids = torch.arange(12) * 37 % 40 + 5
            logits = encoder_logits(model.eval(), ids)
            assert difference(logits, encoder_logits(load(), ids)) > 1e-3, f"{base} {kind} does nothing"
            save_file({"ids": ids, "logits": logits}, os.path.join(folder, CASE))


what, *rest = sys.argv[1:]
{"open": open_all, "write": write_all, "encoders": open_encoders, "write_heads": write_heads,
 "two_stacks": open_two_stacks}[what](*rest)
