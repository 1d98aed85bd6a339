# `make run` and `make test` do all their own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VERSION := $(shell sed -n 's/^appVersion: //p' charts/soloist/Chart.yaml)
INSTALLED := $(VENV)/.installed
# The tests of models need torch, which takes longer to import than most tests do; all of them run together.
# The fast ones wait much, for other threads and for time to pass: three processes fill two cores.
FAST := $(BIN)/python -m pytest -n 4 --dist worksteal -m "not slow and not cluster" --ignore=tests/worker/models
MODELS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup tests/worker/models
PROCESSES := $(BIN)/python -m pytest -n 2 --dist loadfile -m "slow and not cluster" --ignore=tests/worker/models
SECONDS ?= 180
SEEDS ?= 5
BROKERS ?= redis,rabbitmq
PLACE = $(if $(REGISTRY),$(REGISTRY)/)
# What the images' labels say; SOURCE is where the code is published.
LABELS = VERSION=$(VERSION) REVISION=$(shell git rev-parse HEAD) CREATED=$(shell git log -1 --format=%cI) SOURCE=$(SOURCE)
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Without bytecode each process of the tests would compile all that it imports, and rewrite each assert.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-fast test-cluster images publish package rendered check bench docs storm pictures format clean rabbitmq redis chromium prometheus faketime helm

## run: a real model answers on http://127.0.0.1:8000
run: $(INSTALLED)
	$(BIN)/soloist up --catalog examples/catalog.yaml

## test: everything, on Redis and on RabbitMQ
test: $(INSTALLED) rabbitmq redis chromium prometheus faketime helm check
	$(FAST)
	$(MODELS)
	$(PROCESSES)

## test-fast: without the tests that start processes or load models
test-fast: $(INSTALLED) helm
	$(FAST)

## test-cluster: the chart in the cluster that KUBECONFIG names (tests/cluster/README.md)
test-cluster: $(INSTALLED) helm
	$(BIN)/python -m pytest tests/cluster -m cluster

## check: formatting, lints, types, import rules
check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

## docs: the pages of docs/ and those that they link to as a site, dist/site, which opens from the disk
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

## bench: ours against the bound and against others, in one run
bench: $(INSTALLED)
	$(BIN)/python -m bench

## storm: faults for SECONDS in each of SEEDS storms on each of BROKERS; the numbers go to .soloist/storms
storm: $(INSTALLED) rabbitmq redis
	$(BIN)/python -m tests.storm --seconds $(SECONDS) --seeds $(SEEDS) --broker $(BROKERS)

## images: soloist-api and soloist-worker, for REGISTRY if it is set; BUILD holds further arguments
images:
	docker build -f Dockerfile.api -t $(PLACE)soloist-api:$(VERSION) $(LABELS:%=--build-arg %) $(BUILD) .
	docker build -f Dockerfile.worker -t $(PLACE)soloist-worker:$(VERSION) $(LABELS:%=--build-arg %) $(BUILD) .

## publish: both images, for amd64 and arm64, to REGISTRY; their digests go to dist/images.json
publish:
	@mkdir -p dist
	REGISTRY=$(PLACE) $(LABELS) docker buildx bake --file docker-bake.json --push --metadata-file dist/images.json $(BUILD)

## package: the chart to dist/, for the images in REGISTRY with the digests API_DIGEST and WORKER_DIGEST
package: $(INSTALLED) helm
	$(BIN)/python -m k8s.package --registry "$(REGISTRY)" --api "$(API_DIGEST)" --worker "$(WORKER_DIGEST)"

## pictures: of the status page and the dashboards, from runs on this machine, in about ten minutes
pictures: $(INSTALLED) chromium prometheus helm
	$(BIN)/python tests/page/picture.py
	$(BIN)/python -m tests.observability.pictures

## rendered: what is generated from the chart and from code, docs/tasks.md and docs/values.md too
rendered: $(INSTALLED) helm
	$(BIN)/python -m k8s.dashboards
	$(BIN)/python -m k8s.rules
	$(BIN)/python -m k8s.tasks_page
	$(BIN)/python -m k8s.values_page
	$(BIN)/python -m k8s.render

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt torch==2.13.0
	$(PIP) install --quiet -c constraints.txt -e '.[demo,otel,test,plan,docs]'
	touch $@

# Debian's packages, where root may install them; elsewhere the tests that need one say that they are skipped.
debian = @test -x $(1) || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq \
	&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(2) >/dev/null $(3); } \
	|| echo "$(notdir $(1)) is not installed and cannot be: its tests will be skipped"

rabbitmq:
	$(call debian,/usr/lib/rabbitmq/bin/rabbitmq-server,rabbitmq-server)

# A newer one than the product's own. The package starts it for good, which nobody asked for.
redis:
	$(call debian,/usr/bin/redis-server,redis-server,&& { service redis-server stop >/dev/null 2>&1 || true; })

chromium:
	$(call debian,/usr/bin/chromium,chromium)

# The package starts a Prometheus for good, which nobody asked for.
prometheus:
	$(call debian,/usr/bin/promtool,--no-install-recommends prometheus,&& { service prometheus stop >/dev/null 2>&1 || true; })

faketime:
	$(call debian,/usr/bin/faketime,faketime)

# Both Helms that the chart is tested with, and kubectl.
helm: $(VENV)/.helm

$(VENV)/.helm: $(INSTALLED) tests/charts/get_helm.py
	@$(BIN)/python tests/charts/get_helm.py $(VENV) && touch $@ \
		|| echo "Helm cannot be fetched: the chart's tests will be skipped"

clean:
	rm -rf $(VENV) .soloist .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
