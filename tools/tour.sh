#!/usr/bin/env bash
# What there is, in one go: train on the demo corpus, predict, evaluate the predictions, look at a report, search for videos,
# compare with MMF's own models. 474 s measured with one thread beside another training; VENV chooses the environment.
# The second time what is finished is not done again; SAVE chooses where it goes, DATA where the demo corpus is.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment

data=${DATA:-data/demo}
save=${SAVE:-save/tour}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(nproc)} TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
updates=${UPDATES:-600}   # of pre-training; fine-tuning takes half, the comparison a tenth
begin=$SECONDS
recipes=projects/clipbert/configs
corpus=(dataset_config.msrvtt_retrieval.data_dir=$data/msrvtt
  dataset_config.msrvtt_retrieval.processors.text_processor.params.tokenizer=$data/tokenizer)

look() { printf '    look at: %s\n' "$@"; }

step "1. Making the demo corpus in $data" python tools/make_demo_corpus.py --out "$data" --corpora msrvtt coco
look "$data/msrvtt/videos" "$data/msrvtt/MSRVTT_data.json"
mkdir -p "$save"

[ -f "$save/pretrain/clipbert_final.pth" ] ||
  step "2. Pre-training on captioned images" mmf_run config=$recipes/coco_captions_pretraining/demo.yaml model=clipbert \
    dataset=coco_captions_pretraining run_type=train env.save_dir="$save/pretrain" checkpoint.resume=true \
    dataset_config.coco_captions_pretraining.data_dir="$data/coco" \
    dataset_config.coco_captions_pretraining.processors.text_processor.params.tokenizer="$data/tokenizer" \
    training.max_updates=$updates training.evaluation_interval=0
[ -f "$save/retrieval/clipbert_final.pth" ] ||
  step "3. Fine-tuning text-to-video retrieval, testing on held-out videos" \
    mmf_run config=$recipes/msrvtt_retrieval/demo.yaml model=clipbert dataset=msrvtt_retrieval "${corpus[@]}" \
    run_type=train_val_test env.save_dir="$save/retrieval" checkpoint.resume=true training.max_updates=$((updates / 2)) \
    training.evaluation_interval=$((updates / 4)) model_config.clipbert.weights.clipbert="$save/pretrain/clipbert_final.pth"
python tools/quickstart_table.py --run "$save/retrieval" --dataset msrvtt_retrieval --out "$save/results.json"
look "$save/retrieval/metrics.jsonl" "$save/retrieval/weights_report.json"

predictions=$save/retrieval/predictions
compgen -G "$predictions/*.json" >/dev/null ||
  step "4. Predicting the test videos" clipbert predict "$save/retrieval"
file=$(ls -t "$predictions"/*.json | head -1)
step "5. Evaluating the predictions from their file" clipbert evaluate "$file" --ranks "$save/ranks.csv"
look "$file" "$save/ranks.csv"

step "6. Writing the report" clipbert report "$save/retrieval" --out "$save/report.html" --data-dir "$data/msrvtt"
look "$save/report.html"

step "7. Searching the videos" clipbert search --model "$save/retrieval" --index "$save/index" --top 3 \
  "$data/msrvtt/videos" "a red circle and then a blue square" "a small green star"

step "8. Comparing with MMF's own models, $((updates / 10)) updates each" \
  clipbert compare clipbert:msrvtt_qa mmbt:msrvtt_qa unimodal_text:msrvtt_qa --data "$data" \
  --updates $((updates / 10)) --save "$save/compare" --start "$save/pretrain/clipbert_final.pth"
look "$save/compare/compare.png" "$save/compare/table.md"
echo "The tour took $((SECONDS - begin)) s. Next: docs/index.md"
