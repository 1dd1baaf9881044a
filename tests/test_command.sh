#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The llq command: output, exit status, errors that name what is wrong.
. "$top_srcdir/tests/support/tap.sh"
llq=$LLQ_COMMAND
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 99

# fails STATUS TEXT COMMAND...: exits with STATUS, one line that contains TEXT,
# nothing on standard output.
fails() {
  local expected=$1 text=$2 status=0
  shift 2
  "$@" > stdout 2> stderr || status=$?
  [ "$status" -eq "$expected" ] || { echo "exit status $status"; cat stderr; return 1; }
  grep -qF -- "$text" stderr || { echo "no '$text' in:"; cat stderr; return 1; }
  [ ! -s stdout ]
}

failed_in_one_line() {
  fails 1 "$@" && [ "$(wc -l < stderr)" -eq 1 ]
}

prints() {
  local text=$1
  shift
  "$@" > stdout 2> stderr || { cat stderr; return 1; }
  grep -qF -- "$text" stdout || { echo "no '$text' in:"; cat stdout; return 1; }
}

json() { # json EXPRESSION COMMAND...: Python's view of standard output
  local expression=$1
  shift
  "$@" > stdout 2> stderr || { cat stderr; return 1; }
  python3 -c "import json, sys; x = json.load(open('stdout')); sys.exit(not ($expression))" ||
    { cat stdout; return 1; }
}

ok "no command is a usage error" fails 2 "usage: llq COMMAND" "$llq"
ok "an unknown command is named" fails 2 "'frobnicate'" "$llq" frobnicate
ok "an unknown option is named" fails 2 "'--colour'" "$llq" info llq-micro --colour
ok "a missing operand is a usage error" fails 2 "0 of 1 operands" "$llq" info
ok "a bad number is named" fails 2 "'many' is not a valid N" \
  "$llq" generate llq-micro --prompt x --max-tokens many
ok "help goes to standard output" prints "usage: llq quantize MODEL OUT" \
  "$llq" quantize --help

ok "devices lists the CPU" prints "cpu:0" "$llq" devices
ok "devices in JSON" json "x[0]['backend'] == 'cpu' and x[0]['usable'] is True" \
  "$llq" devices --json
ok "info shows the shape" prints "32 layers, hidden 4096, intermediate 14336" \
  "$llq" info random:llama-3.1-8b
# Weights that a decoded token reads: 15.010 GB in bf16 without the embedding.
ok "info knows the bytes of each scheme" json \
  "x['bytes_in_scheme']['bf16'] - 2 * 128256 * 4096 == 15009849344 and x['n_parameters'] == 8030261248" \
  "$llq" info --json random:llama-3.1-8b
ok "info of a 70B shape needs no 140 GB" prints "80 layers, hidden 8192" \
  "$llq" info random:llama-3.1-70b

ok "a missing model is named" failed_in_one_line "no-such-model" \
  "$llq" info no-such-model
mkdir broken
echo '{"architectures": ["MixtralForCausalLM"]}' > broken/config.json
ok "an unsupported architecture is named" failed_in_one_line \
  "MixtralForCausalLM" "$llq" info broken
echo '{"architectures": [' > broken/config.json
ok "broken JSON is named with its line" failed_in_one_line "config.json: line" \
  "$llq" info broken

printf 'def f(x):\n    return x\n' > text
"$llq" tokenize llq-micro --bos < text > ids
ok "tokenize prints one JSON array" json "len(x) > 5 and all(isinstance(i, int) for i in x)" \
  cat ids
round_trip() { "$llq" detokenize llq-micro < ids > back && cmp text back; }
ok "detokenize gives the text back" round_trip
ok "what is no JSON array of ids is refused" failed_in_one_line \
  "not a JSON array" "$llq" detokenize llq-micro < text

logits_file() {
  "$llq" logits llq-micro --tokens '[0, 5, 9]' -o out.npy &&
    head -c 128 out.npy | grep -qa "'shape': (3, "
}
ok "logits writes a NumPy file" logits_file
ok "logits refuses an id beyond the vocabulary" failed_in_one_line "999999" \
  "$llq" logits llq-micro --tokens '[5, 999999]' -o bad.npy
no_partial_file() { [ ! -e bad.npy ] && [ ! -e bad.npy.part ]; }
ok "a failed logits leaves no file" no_partial_file

generate() { "$llq" generate llq-micro --prompt 'def add(a, b):' --max-tokens 24 "$@"; }
same_twice() { [ "$(generate "$@")" = "$(generate "$@")" ]; }
ok "greedy generation repeats itself" same_twice
ok "sampling with a seed repeats itself" same_twice --temperature 1 --seed 7
ok "generation in JSON" json "len(x) == 2 and len(x[0]['ids']) <= 24 and x[0]['stop'] in ('end', 'length')" \
  generate --json --samples 2 --temperature 0.8

quantizes() {
  "$llq" quantize llq-micro "$1" --scheme "$1" > stdout 2> stderr &&
    "$llq" info --json "$1" | python3 -c "
import json, sys; sys.exit(json.load(sys.stdin)['scheme'] != '$1')"
}
for scheme in w8a8-fp w8a8-int w8a16-int w4a16-int; do
  ok "quantize to $scheme and open again" quantizes $scheme
done
ok "quantize does not overwrite a model" failed_in_one_line "w4a16-int" \
  "$llq" quantize llq-micro w4a16-int --scheme w4a16-int
ok "an unknown scheme is named" failed_in_one_line "w3a3" \
  "$llq" quantize llq-micro out --scheme w3a3
ok "scales that a format cannot have are not calibrated" \
  fails 2 "gptq has no scales" \
  "$llq" quantize llq-micro out --scheme bf16 --kv-cache int8 --format gptq
ok "a KV cache in 8 bits asks for calibration" \
  fails 1 "0 tokens, kv_cache int8 needs at least" \
  "$llq" quantize llq-micro out --scheme w8a16-int --kv-cache int8
ok "codes without scales for them are refused" fails 1 "has no scales for it" \
  "$llq" generate llq-micro --prompt x --kv-cache int8

ok "convert to gptq and open again" "$llq" convert w4a16-int as-gptq --format gptq
ok "convert names what would be lost" failed_in_one_line "its 8-bit float codes" \
  "$llq" convert w8a8-fp as-awq --format awq
ok "an unknown format is named" failed_in_one_line "zip" \
  "$llq" convert w4a16-int as-zip --format zip
ok "diff of a model in two formats finds nothing" json \
  "len(x) == 71 and all(linear['relative_error'] == 0 for linear in x)" \
  "$llq" diff --json w4a16-int as-gptq
ok "diff of int4 and bf16 finds errors" prints "model.layers.0.mlp.down_proj" \
  "$llq" diff llq-micro w4a16-int

head -c 4000 "$LLQ_DATA/llq-micro/heldout.txt" > heldout
ok "perplexity of bf16 against itself agrees" json \
  "x['top1_agreement'] == 1 and x['kl'] < 1e-9 and 1 < x['perplexity'] < 20" \
  "$llq" perplexity llq-micro --text heldout --against llq-micro --json
ok "perplexity of int4 against bf16 differs" json \
  "x['top1_agreement'] < 1 and x['kl'] > 1e-4" \
  "$llq" perplexity w4a16-int --text heldout --against llq-micro --json

ok "eval scores the first tasks" json "0 <= x['metrics']['pass@1'] <= 1" \
  "$llq" eval llq-micro --task llq-micro --limit 4 -o run-a --json
ok "eval of int4" json "0 <= x['metrics']['pass@1'] <= 1" \
  "$llq" eval w4a16-int --task llq-micro --limit 4 -o run-b --json
ok "a directory with another run is refused" failed_in_one_line "run-a" \
  "$llq" eval w4a16-int --task llq-micro --limit 4 -o run-a
ok "compare reads two runs" prints "pass@1" "$llq" compare run-a run-b
ok "score agrees with eval on eval's own samples" prints "pass@1" \
  "$llq" score --task llq-micro --limit 4 --samples run-a/samples.jsonl -o run-c
ok "sweep prints a row for each scheme" prints "w4a16-int" \
  "$llq" sweep llq-micro --schemes bf16,w4a16-int --task llq-micro --limit 3 -o swept
ok "sweep writes its reports" test -s swept/report.md -a -s swept/report.html -a -s swept/sweep.json
ok "report reads the sweep again" prints "bf16" "$llq" report swept
ok "a missing task file is named" failed_in_one_line "absent.jsonl" \
  "$llq" eval llq-micro --task absent.jsonl -o run-d
ok "the man page is clean" bash -c \
  'command -v mandoc > /dev/null || exit 0; ! mandoc -T lint -W warning "$top_srcdir/doc/llq.1" | grep -v "outdated mandoc.db"'
finish
