"""A local gateway: Cloudflare AI Gateway and DeepSeek over real HTTP, without an account.

It is for experiments and tests, not for production: it listens on 127.0.0.1 only and accepts fake
credentials. DeepSeek's own library validates requests and builds responses; the model is simulated,
unless a real one is configured as `upstream`.

Example:
    ```python
    from langchain_cf_deepseek import CFDeepSeekError
    from langchain_cf_deepseek.local import Guardrails, LocalGateway, Rules

    with LocalGateway(rules=Rules(guardrails=Guardrails(prompt=["bomb"]))) as gateway:
        llm = gateway.chat_model()
        print(llm.invoke("What is 6 * 7?").text)

        gateway.reply(content="Rayleigh scattering.", reasoning="Short waves scatter more.")
        print(llm.invoke("Why is the sky blue?").text)

        gateway.fail_next("spend-limit")
        for question in ("What is 6 * 7?", "How is a bomb built?"):
            try:
                llm.invoke(question)
            except CFDeepSeekError as error:
                print(type(error).__name__)
    ```

    ```text
    6 * 7 = 42
    Rayleigh scattering.
    CFDeepSeekSpendLimitError
    CFDeepSeekContentBlockedError
    ```
"""

from langchain_cf_deepseek.data.routings import Routing
from langchain_cf_deepseek.local.cloudflare.assumptions import Assumptions
from langchain_cf_deepseek.local.cloudflare.auto_router import AutoRouter
from langchain_cf_deepseek.local.cloudflare.dlp import DlpProfile
from langchain_cf_deepseek.local.cloudflare.dynamic_routes import Route, RouteStep
from langchain_cf_deepseek.local.cloudflare.guardrails import Guardrails
from langchain_cf_deepseek.local.cloudflare.rate_limit import RateLimit
from langchain_cf_deepseek.local.cloudflare.retries import Retries
from langchain_cf_deepseek.local.cloudflare.rules import Rules
from langchain_cf_deepseek.local.cloudflare.spend_limits import Policy, SpendLimit
from langchain_cf_deepseek.local.deepseek.documents import FileLimits
from langchain_cf_deepseek.local.deepseek.models import MODELS, Model
from langchain_cf_deepseek.local.exchange import RecordedRequest
from langchain_cf_deepseek.local.faults.catalog import FAILURES, Failure
from langchain_cf_deepseek.local.faults.specification import (
    Fault,
    compat_error,
    deepseek_error,
    edge_error,
    gateway_error,
    policy_error,
    rest_error,
    workers_ai_error,
)
from langchain_cf_deepseek.local.gateway import LocalGateway
from langchain_cf_deepseek.local.simulated_model.scripted_replies import (
    Reply,
    ScriptedCall,
    ScriptedPage,
    ScriptedSearch,
)
from langchain_cf_deepseek.local.simulated_model.web import WebPage

__all__ = [
    "FAILURES",
    "MODELS",
    "Assumptions",
    "AutoRouter",
    "DlpProfile",
    "Failure",
    "Fault",
    "FileLimits",
    "Guardrails",
    "LocalGateway",
    "Model",
    "Policy",
    "RateLimit",
    "RecordedRequest",
    "Reply",
    "Retries",
    "Route",
    "RouteStep",
    "Routing",
    "Rules",
    "ScriptedCall",
    "ScriptedPage",
    "ScriptedSearch",
    "SpendLimit",
    "WebPage",
    "compat_error",
    "deepseek_error",
    "edge_error",
    "gateway_error",
    "policy_error",
    "rest_error",
    "workers_ai_error",
]

ToolCall = ScriptedCall  # Its earlier name, which LangChain's own class has too.
