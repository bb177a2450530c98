# Everything a newcomer needs. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
PY := .venv/bin/python
WHAT ?= overhead
# Airflow starts many processes: compile the package once, not in each of them.
unexport PYTHONDONTWRITEBYTECODE

.venv/.locked: requirements.txt requirements-dev.txt requirements-uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Python 3.11 to 3.13 is needed; name one with PYTHON=python3.12"; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || { rm -rf .venv && $(PYTHON) -m venv .venv; } \
	  || { echo "Python lacks venv or its pip: apt-get install python3-venv"; exit 1; }
	@echo "installing the locked requirements"
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@VIRTUAL_ENV="$(CURDIR)/.venv" .venv/bin/uv pip sync --quiet --compile-bytecode --require-hashes \
	  requirements.txt requirements-dev.txt requirements-uv.txt
	@echo "$(CURDIR)/plugins" > "$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/reengage.pth"
	@touch $@

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

.PHONY: run
run: .venv/.locked ## Set up, run every campaign once in Airflow, print the funnel (DATA=dir AS_OF=day DRY=1 CAMPAIGN=slug)
	@$(PY) -m reengage run $(JOB)

.PHONY: ui
ui: .venv/.locked ## Run, then stay up: pages in Airflow, a log-in for each role
	@$(PY) -m reengage ui $(JOB)

JOB = $(if $(DATA),--data "$(DATA)") $(if $(AS_OF),--as-of "$(AS_OF)") $(if $(filter-out 0,$(DRY)),--dry) \
  $(if $(CAMPAIGN),--campaign "$(CAMPAIGN)")

.PHONY: portal
portal: .venv/.locked ## Serve patients on this machine: letters, opting out, preferences
	@$(PY) -m reengage portal

.PHONY: up
up: env ## Build and start the containers of docker-compose.yaml, making what is missing of .env
	@$(COMPOSE) build prepare
	@$(COMPOSE) run -T --rm --no-deps prepare $(RENEW) | $(ENV_FILE) --certificates
	@$(COMPOSE) up -d $(SCALE)
	@$(COMPOSE) ps

.PHONY: env
env: ## Make what is missing of the containers' secrets: .env, worker.env, keys.env, mode 0600
	@$(ENV_FILE)

# Renewed here only: what shows certificates of another name than .env then has is started anew.
RENEW = python -m reengage.deploy.prepare --renew
ENV_FILE = PYTHONPATH=plugins $(PYTHON) -m reengage.deploy.env_file

# Version 2 where docker has it, else the older command.
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
SCALE = $(if $(WORKERS),--scale worker=$(WORKERS))

.PHONY: down
down: ## Stop whatever a run, the UI or `make up` left running; data and keys stay
	@[ ! -x $(PY) ] || $(PY) -m reengage down
	@[ ! -e .env ] || ! docker info >/dev/null 2>&1 || $(COMPOSE) down --remove-orphans

.PHONY: test-compose
test-compose: .venv/.locked ## Bring the containers up, kill a worker in mid-campaign, compare every letter
	@REENGAGE_COMPOSE=1 $(PY) -m pytest -q -s -n0 tests/stack

.PHONY: test
test: .venv/.locked ## Set up and run every test, apart from the long ones
	@$(PY) -m pytest -m "not long and not walk" $(SHARED_OUT)

.PHONY: long
long: .venv/.locked ## Run the long tests: whole runs in Airflow, browsers, killed processes, every mutant
	@$(PY) -m pytest -m long $(SHARED_OUT)

# Half as many processes again as there are cores, as each waits for PostgreSQL; eight at most.
SHARED_OUT = -n $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$(( n > 5 ? 8 : n * 3 / 2 ))) --dist loadscope --no-loadscope-reorder

.PHONY: tutorial
tutorial: .venv/.locked ## Follow docs/tutorial.md and docs/runbook.md on fresh clones, word for word
	@$(PY) -m pytest -m walk -n 0 tests/test_walks.py

.PHONY: test-kubernetes
test-kubernetes: .venv/.locked ## Render the official chart (CHART=dir, helm) with our values, check all manifests
	@.venv/bin/uv pip install --quiet --target var/kubernetes --require-hashes -r requirements-kubernetes.txt
	@REENGAGE_CHART="$(CHART)" PYTHONPATH=var/kubernetes $(PY) -m pytest -q -n0 tests/deploy/test_kubernetes*.py

.PHONY: mutations
mutations: .venv/.locked ## Delete each predicate of the extraction, one by one: the real gate must turn red
	@REENGAGE_EVERY_MUTANT=1 $(PY) -m pytest -q -s tests/pipeline/test_mutations.py

.PHONY: backup
backup: .venv/.locked ## Back up the store, and apart from it the keys (TO=dir KEYS=dir KEEP=days)
	@$(PY) -m reengage backup $(if $(TO),--to "$(TO)") $(if $(KEYS),--keys "$(KEYS)") \
	  $(if $(KEEP),--keep-days "$(KEEP)")

.PHONY: restore
restore: .venv/.locked ## Bring a store that was lost back (FROM=dir KEYS=dir EVIDENCE="log dir")
	@$(PY) -m reengage restore $(if $(FROM),"$(FROM)") $(if $(KEYS),--keys "$(KEYS)") \
	  $(if $(EVIDENCE),--evidence $(EVIDENCE))

.PHONY: drill
drill: .venv/.locked ## Lose a store of N=1500 letters and bring it back; prints the log
	@REENGAGE_DRILL="$(or $(N),1500)" $(PY) -m pytest -q -s tests/restore/test_backup.py -k drill

.PHONY: chaos
chaos: .venv/.locked ## Send on N=100 bad days; nothing twice, nothing lost (SEED=17 repeats one, JOBS=2)
	@PYTHONPATH=tests $(PY) -m chaos $(if $(JOBS),--jobs "$(JOBS)") \
	  $(if $(SEED),--first "$(SEED)" --rounds 1 --tell,--rounds "$(or $(N),100)")

.PHONY: lint
lint: .venv/.locked ## Check style, types, and that generated files and the lock are current
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@$(PY) -m reengage generate --check
	@mkdir -p var && $(foreach name,$(LOCKS), \
	  cp $(name).txt var/$(name).txt && $(COMPILE) $(name).in -o var/$(name).txt && \
	  diff -q $(name).txt var/$(name).txt >/dev/null || \
	  { echo "$(name).txt is out of date; run make lock"; exit 1; };)

LOCKS = requirements requirements-dev requirements-audit requirements-kubernetes requirements-ldap
COMPILE = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-find-links --no-emit-index-url --custom-compile-command "make lock"

.PHONY: fix
fix: .venv/.locked ## Repair style, write the files that are generated from code
	@.venv/bin/ruff check --fix --quiet . || true
	@.venv/bin/ruff format --quiet .
	@$(PY) -m reengage generate

.PHONY: bench
bench: .venv/.locked ## Measure: WHAT=overhead, extract, gate, ledger, seal, outcomes, portal, reports, scale or dag
	@$(PY) bench/$(WHAT).py

.PHONY: lock
lock: .venv/.locked ## Compile the requirements' .in files with hashes
	@$(foreach name,$(LOCKS),$(COMPILE) $(name).in -o $(name).txt;)

AUDIT := var/audit
SYNC = VIRTUAL_ENV="$(CURDIR)/$(1)" .venv/bin/uv pip sync --quiet --require-hashes

$(AUDIT)/.locked: requirements-audit.txt .venv/.locked
	@.venv/bin/uv venv --quiet --allow-existing --python $(PY) $(AUDIT)
	@$(call SYNC,$(AUDIT)) requirements-audit.txt
	@touch $@

.PHONY: sbom
sbom: $(AUDIT)/.locked ## Write var/sbom.json (CycloneDX) and var/licences.txt of what production installs
	@.venv/bin/uv venv --quiet --allow-existing --python $(PY) var/production
	@$(call SYNC,var/production) requirements.txt
	@$(AUDIT)/bin/cyclonedx-py environment --output-reproducible --of JSON -o var/sbom.json \
	  var/production/bin/python
	@$(PY) -m reengage.cli.supply licences < var/sbom.json > var/licences.txt
	@cut -d: -f1 var/licences.txt

.PHONY: audit-deps
audit-deps: $(AUDIT)/.locked ## Look for known vulnerabilities of every locked package (requirements-accepted.yaml)
	@rm -f var/requirements*.audit.json  # an earlier answer is none
	@if $(PY) -m reengage.cli.supply reachable; then for name in $(LOCKS) requirements-uv; do \
	  $(AUDIT)/bin/pip-audit --require-hashes --disable-pip --progress-spinner off \
	    -r $$name.txt -f json -o var/$$name.audit.json || true; \
	  $(PY) -m reengage.cli.supply audited < var/$$name.audit.json || exit 1; done; fi

.PHONY: clean
clean: ## Remove what was made here: .venv, var and this checkout's keys
	@[ ! -x $(PY) ] || $(PY) -m reengage clean || true
	@find plugins dags tests bench -name __pycache__ -prune -exec rm -rf {} +
	@rm -rf .venv var .mypy_cache .ruff_cache .pytest_cache
