# make demo, make check, make test, make bench, make lint: each installs what it needs into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install demo studies pictures docs check test soak lint bench clean

help:
	@echo "make demo     install, get Fashion-MNIST, compare three activations of a deep network, and write the page of it"
	@echo "make studies  make the studies of the three reports that are not made yet (hours), and write STUDIES.md"
	@echo "make pictures draw the pictures of README and docs, and the notebook's, from the demo's study"
	@echo "make docs     build the documentation, which opens from disk: build/site/index.html"
	@echo "make check    install and run the fast tests, in 95 seconds on two cores"
	@echo "make test     install and run all tests"
	@echo "make soak     run every case of every test, kill sweeps twenty times each at random moments, try every key of conf/ with"
	@echo "              every kind of value, and damage the files of runs in every way: hours"
	@echo "make lint     ruff and mypy"
	@echo "make bench    how fast a run is, against loops written by hand"
	@echo "make install  only install, into $(VENV)"
	@echo "make clean    remove $(VENV) and caches; outputs/ and data/ stay"

install: $(VENV)/installed

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11. Name a newer one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev,slurm,wandb,studies]'
	@touch $@

demo: $(VENV)/installed
	$(BIN)/python train.py --multirun experiment=demo hydra/launcher=parallel
	@echo
	$(BIN)/python -m multirun_analysis outputs/demo --margin 1pt
	@echo
	@echo "Three activations, twelve seeds each, on the same batches: what may be concluded is above."
	@echo "The page, to open in a browser:  outputs/demo/analysis/report.html"
	@echo "The same, word by word:          docs/first_study.md"
	@echo "Curves while runs are made:      $(BIN)/tensorboard --logdir outputs   (then open http://localhost:6006)"
	@echo "The one you choose, on test:     $(BIN)/python evaluate.py run=outputs/demo/..."
	@echo "More seeds, the same command:    $(BIN)/python train.py --multirun experiment=demo 'seed=range(1,21)' hydra/launcher=parallel"

$(VENV)/installed-pictures: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[pictures]'
	@touch $@

# The pictures of README and docs, from the demo's study; those of STUDIES.md come from make studies. Needs Chromium.
pictures: $(VENV)/installed-pictures
	$(BIN)/python train.py --multirun experiment=demo hydra/launcher=parallel
	$(BIN)/python docs/pictures.py
	$(BIN)/python -m nbconvert --to notebook --execute --ExecutePreprocessor.record_timing=False --inplace examples/first_study.ipynb

$(VENV)/installed-studies: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[studies]'
	@touch $@

# make studies ARGS="--cifar data.verify=false": what python -m studies --help lists
studies: $(VENV)/installed-studies
	$(BIN)/python -m studies $(ARGS)

# Processes with a file to each, and one thread, since threads that wait for each other's core are slow. Slow tests wait for
# processes of their own: on two cores a third one works meanwhile.
# Compiled tests are kept even where PYTHONDONTWRITEBYTECODE is set: to compile all of them takes 8 s in each process.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

check: $(VENV)/installed-dev
	$(PYTEST) -n 2 -m "not slow and not browser"

test: $(VENV)/installed-dev
	$(PYTEST) -n 3

soak: $(VENV)/installed-dev
	PARIBUS_SOAK=20 $(PYTEST) -n 3

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet 'mkdocs-material>=9.6' 'mkdocstrings[python]>=0.29'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

bench: $(VENV)/installed
	$(BIN)/python benchmarks/bench.py

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
