"""The vendor's SDK 3 reads what the emulator says of an account: identity, costs, projects, deployments, adapters."""

from __future__ import annotations

from pathlib import Path

from tests.foreign.driving import drive, python_with
from together_adapters.emulator import Emulator

TOGETHER_3 = """
import os, time
from together import ConflictError, Together

root = os.environ["ROOT"]
identity = Together(api_key="k", base_url=root).whoami()
assert identity.type == "project_api_key" and identity.organization.id
client = Together(api_key="k", base_url=root, project_id=identity.project.id)
assert [project.id for project in client.projects.list()] == [identity.project.id]

answer = client.chat.completions.create(model="openai/gpt-oss-120b", messages=[{"role": "user", "content": "Hi."}])
(window,) = client.organization.usage.costs.list()
assert window.line_items[0].quantity == str(answer.usage.total_tokens) and window.end_time > window.start_time

endpoint = client.endpoints.create(name="sdk")
deployments, place = client.endpoints.deployments, {"endpoint_id": endpoint.id}
for number in range(3):
    deployment = deployments.create(
        endpoint.id, name=f"d{number}", model=f"projects/{identity.project.id}/models/m", inactive_timeout=30,
        autoscaling={"min_replicas": 1, "max_replicas": 2}, max_concurrent_requests_per_replica="4",
    )
assert len({item.id for item in deployments.list(endpoint.id, limit=2)}) == 3
while deployments.retrieve(deployment.id, **place).status.state != "DEPLOYMENT_STATE_READY":
    time.sleep(0.1)
changed = deployments.update(deployment.id, **place, etag=deployment.etag, autoscaling={"min_replicas": 0, "max_replicas": 0})
assert changed.status.state == "DEPLOYMENT_STATE_STOPPING" and changed.inactive_timeout == 30
try:
    deployments.update(deployment.id, **place, etag=deployment.etag, name="other")
    raise AssertionError("an outdated etag was accepted")
except ConflictError:
    pass

adapters, place = client.endpoints.adapters, {**place, "deployment_id": deployment.id}
adapter = adapters.create(**place, adapter_model_id="lora")
assert adapter.per_cluster[0].state == "ADAPTER_LOAD_STATE_LOADING"
assert [item.id for item in adapters.list(**place)] == [adapter.id]
adapter = adapters.update(adapter.id, **place, adapter_revision_id="r2", etag=adapter.etag)
assert adapter.desired_revision.endswith("/models/lora/revisions/r2")
adapters.delete(adapter.id, **place, etag=adapter.etag)
assert len(client.endpoints.retrieve(endpoint.id).deployments) == 3
for item in list(deployments.list(endpoint.id)):
    deployments.delete(item.id, endpoint_id=endpoint.id)
client.endpoints.delete(endpoint.id)
"""


def test_together_3(emulator: Emulator, tmp_path: Path) -> None:
    drive(python_with("together", "3", "TOGETHER_SDK_PYTHON_3"), TOGETHER_3, emulator, tmp_path)
