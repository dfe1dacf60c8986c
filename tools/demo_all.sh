#!/usr/bin/env bash
# Every task on the demo corpora: pre-training on captions and regions, then each downstream task from that checkpoint,
# and one table at the end. Arguments: tasks to run (default all); --seeds N repeats everything with the seeds 1 to N, and
# the table shows mean and spread. A finished task is not run again; remove its folder in save/demo_all to repeat it.
# Results: save/demo_all/results.json and table.md; the runs of further seeds lie in save/demo_all/seed_2 and so on.
seeds=1
if [ "${1:-}" = --seeds ]; then
  [[ "${2:-}" =~ ^[1-9][0-9]*$ ]] || { echo "--seeds '${2:-}': expected a number of seeds, at least 1" >&2; exit 2; }
  seeds=$2
  shift 2
fi
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment

data=data/demo
save=${SAVE:-save/demo_all}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(nproc)} TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
tasks=${*:-"msrvtt_retrieval msrvtt_mc didemo_retrieval activitynet_retrieval msrvtt_qa tgif_qa_action
  tgif_qa_transition tgif_qa_frameqa tgif_qa_count coco_captions_retrieval vqa2_pixels"}

step "Making the demo corpora in $data" python tools/make_demo_corpus.py --out $data --corpora all
mkdir -p "$save"

# name, checkpoint to start from, run type
run_task() {
  local name=$1 start=$2 run_type=$3 begin=$SECONDS
  [ -f "$save/$name/seconds" ] && return
  rm -rf "${save:?}/$name"
  step "$name, seed $seed" mmf_run config=projects/clipbert/configs/$name/demo.yaml model=clipbert dataset=$name \
    run_type=$run_type env.save_dir=$save/$name training.seed=$seed ${start:+model_config.clipbert.weights.clipbert=$start}
  echo $((SECONDS - begin)) >"$save/$name/seconds"
}

root=$save
for seed in $(seq "$seeds"); do
  [ "$seed" = 1 ] || save=$root/seed_$seed
  mkdir -p "$save"
  run_task coco_vg_pretraining "" train_val
  for task in $tasks; do
    if [ "$task" = tgif_qa_count ]; then
      # What a thing does must be seen before it can be counted.
      run_task tgif_qa_action "$save/coco_vg_pretraining/clipbert_final.pth" train_val_test
      run_task tgif_qa_count "$save/tgif_qa_action/clipbert_final.pth" train_val_test
    elif [ "$task" = tgif_qa_frameqa ]; then
      # Which of several things a question means is learned first from pictures, some of which show one thing alone.
      run_task vqa2_pixels "$save/coco_vg_pretraining/clipbert_final.pth" train_val_test
      run_task tgif_qa_frameqa "$save/vqa2_pixels/clipbert_final.pth" train_val_test
    elif [ "$task" = msrvtt_mc ]; then
      # A retrieval model answers as it is.
      run_task msrvtt_retrieval "$save/coco_vg_pretraining/clipbert_final.pth" train_val_test
      run_task msrvtt_mc "$save/msrvtt_retrieval/clipbert_final.pth" test
    else
      run_task "$task" "$save/coco_vg_pretraining/clipbert_final.pth" train_val_test
    fi
  done
done
python tools/demo_table.py --save "$root"
