# make run   everything once: installs, makes a gallery, executes every notebook, writes pages
# make test  installs if need be, then runs all tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: run test lab notebooks plans toys search reproduce clean

run: $(READY)
	$(BIN)/asdvideo gallery --out out/gallery
	$(BIN)/python -m asdvideo.book run

test: $(READY)
	$(BIN)/python -m pytest -q -n 2 --dist worksteal --durations=8

lab: $(READY)
	$(BIN)/jupyter lab nbs

notebooks: $(READY)
	$(BIN)/nbdev_export
	$(BIN)/python -c "from asdvideo.results import teaser; teaser()"
	$(BIN)/python -m asdvideo.book save

plans: $(READY)
	$(BIN)/asdvideo plan --gpus 8 --json data/results/plan-8.json
	$(BIN)/asdvideo plan --gpus 8 --real wan-14b --json data/results/plan-8-large.json
	$(BIN)/asdvideo plan --gpus 1 --lora 64 --json data/results/plan-1-lora.json
	$(BIN)/torchrun --standalone --nproc_per_node=2 tests/measure.py data/results/plan-measured.json

extra = $(BIN)/asdvideo toy --seed 10 --seeds 10 --json data/results/toy/$(1).json $(2)
study = $(call extra,$(1),$(2)) --points data/results/toy/$(1).safetensors
toys: $(READY)
	$(call study,ring-dmd,--world ring --arm dmd)
	$(call study,ring-asd,--world ring --arm asd)
	$(call study,ring-cond-score,--world ring --arm cond-score)
	$(call study,ring-placebo,--world ring --arm placebo)
	$(call extra,ring-dmd-more,--world ring --arm dmd --set critic_updates=14)
	$(call extra,ring-asd-stronger,--world ring --arm asd --set ratio=.3)
	$(call extra,ring-asd-live,--world ring --arm asd --set live=True)
	$(call study,ring-real-critic,--world ring --arm real-critic)
	$(call study,ring-dmd-1,--world ring --arm dmd --retrain 1)
	$(call study,ring-dmd-2,--world ring --arm dmd --retrain 2)
	$(call study,branch-dmd,--world branch --arm dmd)
	$(call study,branch-asd,--world branch --arm asd)
	$(call study,kicks-dmd,--world kicks --arm dmd)
	$(call study,kicks-asd,--world kicks --arm asd)

# which recipe? on seeds that are not reported
trial = $(BIN)/asdvideo toy --world ring --seed 100 --seeds 8 --json data/results/search/$(1).json $(2)
search: $(READY)
	$(call trial,dmd,--arm dmd)
	$(call trial,asd,--arm asd)
	$(call trial,cond-score,--arm cond-score)
	$(call trial,placebo,--arm placebo)
	$(call trial,ratio-.3,--arm asd --set ratio=.3)
	$(call trial,ratio-1,--arm asd --set ratio=1.)
	$(call trial,lr_head-.003,--arm asd --set lr_head=.003)
	$(call trial,lr_head-.003-ratio-.3,--arm asd --set lr_head=.003 --set ratio=.3)
	$(call trial,shared,--arm asd --set shared_noise=True --set shared_time=True)
	$(call trial,live,--arm asd --set live=True)
	$(call trial,own,--arm asd --set own=True)
	$(call trial,chain,--arm asd --set partner=chain)
	$(call trial,only-11234,--arm asd --set only=11234)
	$(call trial,steps-440-dmd,--arm dmd --set steps=440)
	$(call trial,steps-600-dmd,--arm dmd --set steps=600)
	$(call trial,critic_updates-14-dmd,--arm dmd --set critic_updates=14)

reproduce: $(READY)
	$(BIN)/asdvideo reproduce

clean:
	rm -rf out $(VENV)

$(READY): pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable ".[dev]"
	touch $(READY)
