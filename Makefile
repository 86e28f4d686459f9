# Every command a person needs. `make help` lists them; the first one that runs sets up the environment.
.POSIX:
.SILENT:
.DEFAULT_GOAL := help

.PHONY: help demo test test-system up stop status lint format faults bench chaos clean lock environment

help: ## Show this list
	sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r command line; do printf '%-20s %s\n' "$$command" "$$line"; done

demo: environment ## Play the story of one bad day on real data, through the real scheduler
	exec .venv/bin/python -m interlock demo

test: environment ## Run all tests that need nothing but the environment, on two cores
	exec .venv/bin/python -m pytest -m "not system" --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-system: environment ## Run the tests that need packages of the operating system (see .ci/run)
	exec .venv/bin/python -m pytest -m system --numprocesses 2 --dist loadfile --no-loadscope-reorder

up: environment ## Start PostgreSQL and Airflow and leave them up; prints the URL and the login
	exec .venv/bin/python -m interlock up

stop: ## Stop everything that was started
	if [ -x .venv/bin/python ]; then exec .venv/bin/python -m interlock stop; fi

status: environment ## Show what runs, and every dataset by partition
	.venv/bin/python -m interlock services
	exec .venv/bin/python -m interlock status

lint: environment ## Check code, types, SQL, YAML, contracts and the page
	.venv/bin/python -m ruff check
	.venv/bin/python -m ruff format --check
	.venv/bin/python -m mypy
	.venv/bin/python -m sqlfluff lint --disable-progress-bar dbt_project/models
	.venv/bin/python -m yamllint --strict .
	.venv/bin/python -m interlock contract lint
	sh .ci/page lint

format: environment ## Put code and SQL into the house style
	.venv/bin/python -m ruff check --fix
	.venv/bin/python -m ruff format
	.venv/bin/python -m sqlfluff fix --disable-progress-bar dbt_project/models

faults: environment ## Apply every fault to real days and print the scorecard
	exec .venv/bin/python -m tests.faults

bench: environment ## Measure against bare SQL in the same run
	exec .venv/bin/python -m tests.benchmarks

chaos: environment ## Kill workers, the scheduler and the database at every phase boundary and at random; check every invariant
	exec .venv/bin/python -m tests.chaos

clean: ## Stop everything; delete the environment, the embedded database and all that was generated
	if [ -x .venv/bin/python ]; then .venv/bin/python -m interlock erase --yes; fi
	rm -rf .venv .interlock .mypy_cache .pytest_cache .ruff_cache .hypothesis dbt_project/target dbt_project/logs
	rm -rf include/page/node_modules include/page/openapi.json include/page/src/api/schema.ts include/interlock/api/static

lock: environment ## Resolve the dependencies anew into the lock files
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --all-extras --group transform --group quality --group orchestration --group example --group dev pyproject.toml -o requirements.lock
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --constraint requirements.lock --extra platform --group transform --group quality --group orchestration --group production pyproject.toml -o requirements.production.lock

environment:
	sh .ci/environment
