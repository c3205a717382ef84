#!/usr/bin/env python3
"""An encoder's training step in transformers and PyTorch on the CPU, for `tunesmith bench train` to be held against.

usage: encoder_baseline.py --model FOLDER [--method lora|full] [--batch 32] [--seq 32] [--updates 20] [--threads 2]
The same work: three classes, mean of the token states (transformers' heads pool the first token: the sum costs the same), LoRA of rank 8 on
all linear layers of the blocks or every weight, f32, SDPA, AdamW, random tokens without padding. The first two updates do not count.
prints one JSON object: median milliseconds of an update, tokens a second, the peak of resident memory. Needs torch, transformers and peft.
"""
import argparse, json, os, statistics, time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ap = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
ap.add_argument("--model", required=True)
ap.add_argument("--method", default="lora", choices=["lora", "full"])
for name, usual in (("batch", 32), ("seq", 32), ("updates", 20), ("threads", 2)):
    ap.add_argument("--" + name, type=int, default=usual)
a = ap.parse_args()

import peft, torch, transformers

torch.set_num_threads(a.threads)
torch.manual_seed(0)
model = transformers.AutoModelForSequenceClassification.from_pretrained(
    a.model, num_labels=3, attn_implementation="sdpa", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
if a.method == "lora":
    layers = sorted({name.split(".")[-1] for name, part in model.named_modules()
                     if isinstance(part, torch.nn.Linear) and ".layer." in name})
    model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, target_modules=layers, task_type="SEQ_CLS"))
model.train()
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-4)
ids = torch.randint(0, model.config.vocab_size, (a.batch, a.seq))
labels = torch.arange(a.batch) % 3
secs = []
for _ in range(a.updates + 2):
    start = time.perf_counter()
    optimizer.zero_grad()
    loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    loss.item()
    secs.append(time.perf_counter() - start)
update = statistics.median(secs[2:])
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
print(json.dumps({"method": a.method, "batch": a.batch, "seq": a.seq, "threads": a.threads, "trained": sum(p.numel() for p in trained),
                  "update_ms": round(1000 * update, 2), "tokens_per_second": round(a.batch * a.seq / update), "peak_rss_mb": round(peak / 1e6),
                  "torch": torch.__version__, "transformers": transformers.__version__}))
