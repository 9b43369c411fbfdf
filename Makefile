# Every task of this repository. A target sets up what it needs and says so; set-up is done again when the pins change.

VENV := .venv/bin
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test lint types contracts unit test-sf check-migrations format package test-matrix bench bench-capture clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .make/venv .make/chromium ## the main job as a story on stand-ins; KEEP=1 leaves all up, ARGS="--patients 20 --seed 7"
	@$(VENV)/fusion-sync demo $(if $(KEEP),--keep) $(ARGS)

test: lint types contracts unit ## everything that a push must pass

lint: .make/venv ## ruff: rules and format
	$(VENV)/ruff check
	$(VENV)/ruff format --check

types: .make/venv ## mypy --strict
	$(VENV)/mypy

contracts: .make/venv ## who may import whom
	$(VENV)/lint-imports --no-logo

# Three: stories mostly wait, and two others at a time are what two cores carry. loadgroup hands tests out one by one:
# stories take minutes, the rest a moment, and any other way one worker would get all the stories.
unit: .make/venv .make/chromium .make/node/ready ## all tests; ARGS="-k twins", WORKERS=4
	$(VENV)/pytest -n $(WORKERS) --dist loadgroup $(ARGS)

test-sf: .make/venv .make/node/sf/ready ## the package put into the stand-in org by the real Salesforce CLI (300 MB)
	TEST_SF=1 $(VENV)/pytest tests/sfdx/test_cli.py --capture=no $(ARGS)

test-matrix: .make/venv .make/chromium ## each step disturbed, a kill at each point, a day of 300 visits at either portal: hours; ARGS="-k 'harbor and lock'"
	FUSION_TEST_MATRIX=full $(VENV)/pytest -n $(WORKERS) --dist loadgroup tests/story $(ARGS)

check-migrations: .make/venv ## only the tour up, check, down on SQLite and Postgres
	$(VENV)/pytest -k migrat $(ARGS)

format: .make/venv ## let ruff put the code in form
	$(VENV)/ruff check --fix
	$(VENV)/ruff format

package: .make/node/ready ## sfdx/ as zips for deployment tools other than sf, in build/
	@command -v node >/dev/null || { echo "node is not on the PATH; it is needed for this" >&2; exit 1; }
	@rm -rf build/patient build/contact
	@NODE_PATH=.make/node/node_modules node tests/sfdx/convert.cjs sfdx/force-app build/patient >/dev/null
	@NODE_PATH=.make/node/node_modules node tests/sfdx/convert.cjs sfdx/contact-app/force-app build/contact >/dev/null
	@cd build/patient && python3 -m zipfile -c ../fusion-sync-patient.zip .
	@cd build/contact && python3 -m zipfile -c ../fusion-sync-contact.zip .
	@ls build/*.zip

bench-capture: .make/bench .make/node/ready ## the stream beside other clients of one server; ARGS="--quick --json"
	@$(VENV)/fusion-sync bench capture $(ARGS)

bench: .make/bench ## the outbox beside other queues, four minutes, and what telling Salesforce costs; ARGS="--quick --json"
	@$(VENV)/fusion-sync bench outbox $(ARGS)
	@$(VENV)/fusion-sync bench writeback $(ARGS)

clean: ## remove .venv, stamps and caches; no database, no .env
	rm -rf .venv .make .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find listener fusion migrations tests -name __pycache__ -type d -prune -exec rm -rf {} +

.make/venv: pyproject.toml constraints.txt .ci/set-up
	@./.ci/set-up
	@mkdir -p .make && touch $@

.make/chromium: .make/venv fusion/chromium.py
	@$(VENV)/python -m fusion.chromium
	@mkdir -p .make && touch $@

# Without node its tests are skipped, and it says so each time.
.make/node/ready: tests/sfdx/package.json tests/contract/cometd/package.json .ci/set-up-node
	@./.ci/set-up-node

.make/node/sf/ready: tests/sfdx/cli/package.json .ci/set-up-node
	@./.ci/set-up-node sf

.make/bench: .make/venv
	@$(VENV)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]' --constraint constraints.txt
	@mkdir -p .make && touch $@
