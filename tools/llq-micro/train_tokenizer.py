#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Train llq-micro's byte-level BPE with the Llama 3 pattern."""

import argparse
import json
import os
import random

from tokenizers import (Regex, Tokenizer, decoders, models, pre_tokenizers,
                        processors, trainers)

from generator import document

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
           r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>",
           "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
           "<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>",
           "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>",
           "<|reserved_special_token_2|>", "<|reserved_special_token_3|>",
           "<|reserved_special_token_4|>", "<|reserved_special_token_5|>",
           "<|reserved_special_token_6|>"]
TEMPLATE = (
    "{{- bos_token }}"
    "{%- if messages[0]['role'] == 'system' %}"
    "{%- set system = messages[0]['content'] | trim %}"
    "{%- set messages = messages[1:] %}"
    "{%- else %}{%- set system = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}"
    "{{- 'Cutting Knowledge Date: December 2023\\n' }}"
    "{{- 'Today Date: 26 Jul 2024\\n\\n' }}"
    "{{- system + '<|eot_id|>' }}"
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' "
    "+ message['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
    "{%- endif %}")


def train(texts, size):
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(SPECIAL), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(SPECIAL)
    begin = tokenizer.token_to_id(SPECIAL[0])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=SPECIAL[0] + " $A",
        pair="%s $A %s:1 $B:1" % (SPECIAL[0], SPECIAL[0]),
        special_tokens=[(SPECIAL[0], begin)])
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", help="model directory")
    parser.add_argument("--documents", type=int, default=30000)
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=20260)
    options = parser.parse_args()
    rng = random.Random("tokenizer-%d" % options.seed)
    texts = []
    for _ in range(options.documents):
        text = document.plain(document.write(rng))
        for token in SPECIAL:
            text = text.replace(token, "")
        texts.append(text)
    tokenizer = train(texts, options.vocabulary)
    os.makedirs(options.out, exist_ok=True)
    tokenizer.save(os.path.join(options.out, "tokenizer.json"))
    config = {"add_bos_token": True, "bos_token": SPECIAL[0],
              "chat_template": TEMPLATE, "clean_up_tokenization_spaces": False,
              "eos_token": SPECIAL[1], "model_max_length": 2048,
              "pad_token": "<|finetune_right_pad_id|>",
              "model_input_names": ["input_ids", "attention_mask"],
              "tokenizer_class": "PreTrainedTokenizerFast"}
    with open(os.path.join(options.out, "tokenizer_config.json"), "w") as f:
        json.dump(config, f, indent=2)
        f.write("\n")


if __name__ == "__main__":
    main()
