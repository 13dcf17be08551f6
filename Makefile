# make run    everything once: installs, executes every notebook, writes films and the site
# make test   installs if need be, then runs all tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
SITE := out/site

.PHONY: run test lab notebooks reproduce cuda clean

run: $(READY)
	$(BIN)/asdvideo gallery --out out/gallery
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx --jobs 2 --fresh-env --keep-going --quiet \
		-D nb_execution_mode=force nbs $(SITE)
	@echo "Open $(abspath $(SITE))/index.html; films are in out/gallery."

test: $(READY)
	$(BIN)/python -m pytest -q -n 2 --dist worksteal --durations=8

lab: $(READY)
	$(BIN)/jupyter lab nbs

# execute the notebooks, store their outputs in them, write the README
notebooks: $(READY)
	$(BIN)/nbdev_export
	$(BIN)/python -m asdvideo.book save

reproduce: $(READY)
	$(BIN)/asdvideo reproduce

# on a machine with a CUDA device, in any environment with torch and diffusers
cuda:
	$(PYTHON) tests/cuda/run.py

clean:
	rm -rf out nbs/api $(VENV)

$(READY): pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable ".[dev]"
	touch $(READY)
