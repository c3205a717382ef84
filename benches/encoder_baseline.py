#!/usr/bin/env python3
"""A training step of an encoder or a T5 in transformers and PyTorch on the CPU, for `tunesmith bench train` to be held against.

usage: encoder_baseline.py --model FOLDER [--make-t5] [--method lora|full] [--batch 32] [--seq 32] [--updates 20] [--threads 2]
The same work, in f32 with AdamW on random tokens without padding and nothing dropped, LoRA of rank 8 on all linear layers of the blocks or
every weight. An encoder: three classes, mean of the token states (transformers' heads pool the first token: the sum costs the same), SDPA.
A T5: half of the tokens are read, the other half, but for the one that begins it, is written. --make-t5 first writes a T5 of t5-small's shape with
random weights into FOLDER; Tunesmith takes its shape: tunesmith bench train --config FOLDER/config.json --random-weights.
The first two updates do not count.
prints one JSON object: median milliseconds of an update, tokens a second, the peak of resident memory. Needs torch, transformers and peft.
"""
import argparse, json, os, statistics, time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ap = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
ap.add_argument("--model", required=True)
ap.add_argument("--make-t5", action="store_true")
ap.add_argument("--method", default="lora", choices=["lora", "full"])
for name, usual in (("batch", 32), ("seq", 32), ("updates", 20), ("threads", 2)):
    ap.add_argument("--" + name, type=int, default=usual)
a = ap.parse_args()

import peft, torch, transformers

torch.set_num_threads(a.threads)
torch.manual_seed(0)
if a.make_t5:
    shape = transformers.T5Config(d_model=512, d_ff=2048, d_kv=64, num_heads=8, num_layers=6, num_decoder_layers=6, decoder_start_token_id=0)
    transformers.T5ForConditionalGeneration(shape).save_pretrained(a.model)
is_t5 = transformers.AutoConfig.from_pretrained(a.model).is_encoder_decoder
if is_t5:
    model = transformers.T5ForConditionalGeneration.from_pretrained(a.model, dropout_rate=0.0)
else:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        a.model, num_labels=3, attn_implementation="sdpa", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
if a.method == "lora":
    blocks = ".block." if is_t5 else ".layer."
    layers = sorted({name.split(".")[-1] for name, part in model.named_modules() if isinstance(part, torch.nn.Linear) and blocks in name})
    task = "SEQ_2_SEQ_LM" if is_t5 else "SEQ_CLS"
    model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, target_modules=layers, task_type=task))
model.train()
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-4)
num_read = a.seq // 2 if is_t5 else a.seq
ids = torch.randint(1, model.config.vocab_size, (a.batch, num_read))
labels = torch.randint(1, model.config.vocab_size, (a.batch, a.seq - num_read - 1)) if is_t5 else torch.arange(a.batch) % 3
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
