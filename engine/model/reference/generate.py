"""Makes the reference the engine is measured against: an fp32 forward by another implementation.

Hugging Face transformers on torch reads the same GGUF file, dequantises it to fp32 and runs its own tokenizer,
chat template and Llama. Nothing of the engine is involved. See README.md for versions and how to run.

Writes next to this file:
  reference.json  model digest, versions, tokens of text.txt, and greedy answers to chat prompts
  reference.bin   per position of text.txt: the 512 likeliest next tokens and what is left (layout in README.md)
"""

import argparse
import hashlib
import json
import pathlib
import struct

import torch
import transformers
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = pathlib.Path(__file__).parent
TOP = 512
ANSWER_TOKENS_MAX = 64
PROMPTS = [
    "What is the capital of France? Answer in one word.",
    "Name three colours of the rainbow.",
    "What is 7 plus 5?",
    "Write one sentence about the sea.",
    "Translate 'good morning' into Spanish.",
    "Who wrote Romeo and Juliet?",
    "List the days of the weekend.",
    "What do bees make?",
    "Explain in one sentence why the sky is blue.",
    "Give me a short name for a cat.",
    "What is the opposite of hot?",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="the GGUF file")
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    options = parser.parse_args()

    place = {"pretrained_model_name_or_path": str(options.model.parent), "gguf_file": options.model.name}
    tokenizer = AutoTokenizer.from_pretrained(**place)
    # transformers drops the "smollm" pre-tokenizer when it reads a GGUF file; this is the one of the model's own
    # tokenizer.json: digits one by one, then GPT-2's split.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    model = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32).eval()

    tokens = tokenizer((HERE / "text.txt").read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0]
        logprobs = torch.log_softmax(logits.double(), dim=-1)
    with (options.out / "reference.bin").open("wb") as out:
        for row in logprobs:
            top = torch.topk(row, TOP)
            tail = max(0.0, 1.0 - float(top.values.exp().sum()))
            out.write(struct.pack(f"<{TOP}H", *top.indices.tolist()))
            out.write(struct.pack(f"<{TOP}f", *top.values.tolist()))
            out.write(struct.pack("<f", tail))

    answers = []
    for prompt in PROMPTS:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        inputs = tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            full = model.generate(
                torch.tensor([inputs]),
                attention_mask=torch.ones(1, len(inputs), dtype=torch.long),
                max_new_tokens=ANSWER_TOKENS_MAX,
                do_sample=False,
                pad_token_id=2,
                eos_token_id=2,
            )[0].tolist()
        generated = full[len(inputs):]
        answer = {
            "prompt": prompt,
            "prompt_tokens": inputs,
            "tokens": generated,
            "text": tokenizer.decode(generated, skip_special_tokens=True),
        }
        print(json.dumps(answer["text"]))
        answers.append(answer)

    record = {
        "model": options.model.name,
        "model_sha256": hashlib.sha256(options.model.read_bytes()).hexdigest(),
        "made_with": {"torch": torch.__version__, "transformers": transformers.__version__},
        "text": "text.txt",
        "top": TOP,
        "tokens": tokens,
        "answer_tokens_max": ANSWER_TOKENS_MAX,
        "answers": answers,
    }
    with (options.out / "reference.json").open("w", encoding="utf-8") as out:
        json.dump(record, out, ensure_ascii=False)
        out.write("\n")
    print(f"{len(tokens)} positions, {len(answers)} answers")


if __name__ == "__main__":
    main()
