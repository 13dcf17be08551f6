# make run   everything once: installs, makes a gallery, executes every notebook, writes pages
# make test  installs if need be, then runs all tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: run test lab notebooks reproduce clean

run: $(READY)
	$(BIN)/asdvideo gallery --out out/gallery
	$(BIN)/python -m asdvideo.book run

test: $(READY)
	$(BIN)/python -m pytest -q --durations=8

lab: $(READY)
	$(BIN)/jupyter lab nbs

notebooks: $(READY)
	$(BIN)/nbdev_export
	$(BIN)/python -c "from asdvideo.results import teaser; teaser()"
	$(BIN)/python -m asdvideo.book save

reproduce: $(READY)
	$(BIN)/asdvideo reproduce

clean:
	rm -rf out $(VENV)

$(READY): pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable ".[dev]"
	touch $(READY)
