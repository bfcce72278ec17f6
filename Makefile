# Ghost Tracking on this machine. `make` lists what there is; Python 3.11 or newer is all that must be installed.

PY := .venv/bin/python
# The API key reaches `make run` and nothing else.
CLEAN := env -u YOUTUBE_API_KEY
# `exec` leaves no shell between make and the supervisor, which gets make's signals.
STACK := PYTHONPATH=dev $(PY) -m local_stack

# In two processes; a file's tests stay in one, and files begin in their order: the one that starts a stack, early.
TWICE := -n 2 --dist loadfile --no-loadscope-reorder
# Databases and vaults of tests lie in memory where 4 GB are free: they would wait for a disk longer than they work.
IN_MEMORY = $(shell test "$$(df -k /dev/shm 2>/dev/null | awk 'END { print $$4 }')" -gt 4000000 2>/dev/null && echo PYTEST_DEBUG_TEMPROOT=/dev/shm)

.DEFAULT_GOAL := help
.PHONY: help install run airflow vault status demo test-fast test test-faults test-page test-docs test-deployments test-celery lint lint-js format format-js docs bench screenshots simulate dags-page lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

install: ## make .venv from requirements.lock, if it is not up to date
	@sh dev/local_stack/install.sh

run: install ## start everything: PostgreSQL, Airflow, the DAGs; ctrl-C stops it (state in .run/)
	@exec env $(STACK) run

airflow: install ## Airflow's command line beside a running stack, such as: make airflow ARGS="dags list"
	@exec $(CLEAN) $(STACK) airflow $(ARGS)

vault: install ## the vault that make run had last, such as: make vault ARGS="health"
	@exec $(CLEAN) $(STACK) vault $(ARGS)

status: install ## what make run tracks, what is due, what the quota gives of it; for programs: make status ARGS="--json"
	@exec $(CLEAN) $(STACK) status $(ARGS)

demo: install ## prove it end to end: hunter, tracker, janitor, and tracking that outlives the metadata
	@exec $(CLEAN) $(STACK) demo

test-fast: install ## rules and DAG files, in under a minute
	$(CLEAN) $(IN_MEMORY) $(PY) -m pytest $(TWICE) tests/unit tests/dags

test: lint ## lint, then all tests but those of the next five
	$(CLEAN) $(IN_MEMORY) $(PY) -m pytest $(TWICE) -m "not faults and not browser and not docs and not deployments and not celery"

test-faults: install ## kill processes, also of a running stack, and look for the API key after every class of error
	$(CLEAN) $(IN_MEMORY) $(PY) -m pytest $(TWICE) -m faults

test-page: install ## the page in a real Chromium, over a running stack
	$(CLEAN) $(PY) -m pytest -m browser || test $$? -eq 5 # nothing to run: no Chromium is here

test-docs: install ## run every command and every example of the documentation
	$(CLEAN) $(PY) -m pytest -m docs

test-deployments: install ## the wheel beside each supported Airflow, in an environment of its own; asks PyPI
	$(CLEAN) $(PY) -m pytest -m deployments

test-celery: install ## a stack with two Celery workers and a vault in S3; one worker is killed in the middle
	$(CLEAN) $(PY) -m pytest -m celery

lint: install ## ruff, mypy, and the schemas of the compose file, of renovate.json and of GitHub's files
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	PYTHONPATH=plugins .venv/bin/lint-imports --no-logo --no-cache
	MYPYPATH=dev:plugins $(PY) -m mypy --strict dev/local_stack dev/youtube_simulator dev/simulation
	$(PY) -m check_jsonschema --builtin-schema vendor.compose-spec docker-compose.yaml
	$(PY) -m check_jsonschema --builtin-schema vendor.renovate renovate.json
	$(PY) -m check_jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(PY) -m check_jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yml

lint-js: ## prettier and eslint over the page's JavaScript; needs npm, and says so where there is none
	@sh dev/page/javascript.sh --check

format: install ## let ruff put the code in order
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

format-js: ## let prettier put the page's JavaScript in order; needs npm
	@sh dev/page/javascript.sh --write

.venv-docs: requirements-docs.txt install
	@test -x .venv-docs/bin/python || .venv/bin/uv venv --quiet .venv-docs
	@.venv/bin/uv pip install --quiet --system-certs --python .venv-docs/bin/python -r requirements-docs.txt
	@touch .venv-docs

docs: .venv-docs ## make a site of the documentation in build/site, its links checked
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

.venv-bench: requirements-bench.txt install
	@test -x .venv-bench/bin/python || .venv/bin/uv venv --quiet .venv-bench
	@.venv/bin/uv pip install --quiet --system-certs --python .venv-bench/bin/python -r requirements-bench.txt
	@touch .venv-bench

bench: .venv-bench ## measure how fast it is; some of it: make bench ARGS="tracker vault"
	$(CLEAN) PYTHONPATH=plugins:dev:include:tests:. $(PY) -m benchmarks $(ARGS)

DAYS = 90
NEW_PER_DAY = 2000

screenshots: install ## make the README's pictures of the page anew, from a running stack; needs a Chromium
	SCREENSHOTS=1 $(CLEAN) $(PY) -m pytest tests/end_to_end/test_page.py -k screenshots

simulate: install ## months in minutes: make simulate DAYS=90 NEW_PER_DAY=2000 ARGS="--quota-half-from 35"
	@exec $(CLEAN) PYTHONPATH=plugins:dev $(PY) -m simulation --days $(DAYS) --new-per-day $(NEW_PER_DAY) $(ARGS)

dags-page: install ## write docs/dags.md anew, from the DAG files
	@$(CLEAN) PYTHONPATH=plugins:tests $(PY) tests/dag_page.py

lock: install ## resolve the newest versions anew into requirements.lock, and those of the image into requirements-image.lock
	.venv/bin/uv pip compile --quiet --system-certs --universal --python-version 3.11 --upgrade \
		requirements.txt requirements-dev.txt -o requirements.lock --generate-hashes
	.venv/bin/uv pip compile --quiet --system-certs --universal --python-version 3.11 --upgrade \
		requirements-image.txt --constraints requirements.lock -o requirements-image.lock --generate-hashes

clean: ## remove .venv, caches and the demo; the data of make run stays
	@sh dev/local_stack/clean.sh
