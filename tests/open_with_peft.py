#!/usr/bin/env python3
"""Opens an adapter that Tunesmith wrote with PEFT, and compares with a merged model folder where one is named.

    python3 open_with_peft.py MODEL_FOLDER ADAPTER_FOLDER [MERGED_FOLDER]      (torch, transformers, peft)
exits with 0 when every tensor was taken and the logits agree within 1e-4 of the largest
"""
import os, sys
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

model_folder, adapter_folder, *merged_folder = sys.argv[1:]
load = lambda folder: AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
ids = (torch.arange(16) * 31 % 500 + 3).unsqueeze(0)
tuned = PeftModel.from_pretrained(load(model_folder), adapter_folder).eval()
written = load_file(os.path.join(adapter_folder, "adapter_model.safetensors"))
taken = {n.replace(".default", "").removesuffix(".weight"): p for n, p in tuned.named_parameters() if "lora_" in n}
assert {n.removesuffix(".weight") for n in written} == set(taken), "other tensors than PEFT has"
for name, tensor in written.items():
    assert torch.equal(tensor, taken[name.removesuffix(".weight")]), name
with torch.no_grad():
    expected = tuned(ids).logits
    assert not torch.equal(expected, load(model_folder)(ids).logits), "the adapter does nothing"
    for folder in merged_folder:
        difference = (load(folder)(ids).logits - expected).abs().max() / expected.abs().max()
        assert difference < 1e-4, f"the merged model differs by {difference}"
print("PEFT opens it")
