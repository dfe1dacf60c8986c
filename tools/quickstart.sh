#!/usr/bin/env bash
# From a bare machine to a result: environment, demo corpus, image-text pre-training, retrieval fine-tuning, evaluation.
# The second time nothing is installed or generated again. Results: save/quickstart/results.json
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment

data=data/demo
save=save/quickstart
threads=${OMP_NUM_THREADS:-$(nproc)}
export OMP_NUM_THREADS=$threads TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1

step "Making the demo corpus in $data" python tools/make_demo_corpus.py --out $data --corpora msrvtt coco
rm -rf $save
mkdir -p $save
begin=$SECONDS

step "Pre-training on captioned images (MLM + ITM)" \
  mmf_run config=projects/clipbert/configs/coco_captions_pretraining/demo.yaml \
  model=clipbert dataset=coco_captions_pretraining run_type=train_val env.save_dir=$save/pretrain

step "Fine-tuning text-to-video retrieval from that checkpoint, then testing on held-out videos" \
  mmf_run config=projects/clipbert/configs/msrvtt_retrieval/demo.yaml \
  model=clipbert dataset=msrvtt_retrieval run_type=train_val_test env.save_dir=$save/retrieval \
  model_config.clipbert.weights.clipbert=$save/pretrain/clipbert_final.pth

python tools/quickstart_table.py --run $save/retrieval --dataset msrvtt_retrieval \
  --seconds $((SECONDS - begin)) --out $save/results.json
