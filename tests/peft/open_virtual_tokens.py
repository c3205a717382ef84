#!/usr/bin/env python3
"""Opens with PEFT what Tunesmith wrote, and compares logits. Run by hand, or where peft is installed:

    TUNESMITH_WRITTEN=/tmp/written cargo test --test it -- virtual_tokens::what_peft_is_to_open
    python3 tests/peft/open_virtual_tokens.py /tmp/written      (torch, transformers, peft 0.21)

The test writes a folder for each method: the adapter, and the logits that Tunesmith gets for a row of tokens.
"""
import os, sys
import torch, peft
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

base = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/parity/tiny-llama/model")
worst = 0.0
folders = sorted(os.listdir(sys.argv[1]))
assert folders, "nothing was written"
for name in folders:
    folder = os.path.join(sys.argv[1], name)
    model = AutoModelForCausalLM.from_pretrained(base).float()
    model = peft.PeftModel.from_pretrained(model, folder).eval()
    expected = load_file(os.path.join(folder, "expected.safetensors"))
    ids = expected["ids"].long().unsqueeze(0)
    with torch.no_grad():
        got = model(ids).logits[0, -ids.shape[1]:]
    error = ((got - expected["logits"]).norm() / expected["logits"].norm()).item()
    print(f"{name}: {error:.1e}")
    worst = max(worst, error)
sys.exit(0 if worst < 1e-4 else f"the logits differ by {worst:.1e}")
