"""The hints that several errors share; every other hint stands beside its error."""

from langchain_cf_deepseek._errors.cloudflare_access import SERVICE_TOKEN_HEADERS

TRY_AGAIN = "Try again in a moment."

_SERVICE_TOKEN = " and ".join(f"`{name}`" for name in SERVICE_TOKEN_HEADERS)

SEND_SERVICE_TOKEN = (
    f"The address is behind Cloudflare Access: set a service token as {_SERVICE_TOKEN} in "
    "`default_headers`."
)

CHECK_SERVICE_TOKEN = (
    f"The address is behind Cloudflare Access: check that the service token ({_SERVICE_TOKEN} in "
    "`default_headers`) is valid, and that a Service Auth policy of the Access application accepts "
    "it."
)

CHECK_BASE_URL = (
    "Cloudflare's edge responded instead of the server behind it: check `base_url` "
    "(CLOUDFLARE_AI_GATEWAY_BASE_URL), or ask the owner of the domain."
)

SHORTEN_PROMPT = "Shorten the messages, or lower `max_tokens`."

SET_DEEPSEEK_KEY = (
    "No DeepSeek key reached DeepSeek: set `api_key` (DEEPSEEK_API_KEY), or store a key in the "
    "gateway and set `gateway_token` (CF_AIG_TOKEN)."
)
"""For a request without a key; the hint for a rejected key is another."""

USE_OWN_KEY = (
    "Use your own DeepSeek key: set `api_key` (DEEPSEEK_API_KEY) with "
    '`routing="provider-native"`, or store one in the gateway.'
)

TOP_UP_DEEPSEEK = "Top up the balance of the DeepSeek account."

TOP_UP_GATEWAY = f"Top up the gateway's credits in the Cloudflare dashboard. {USE_OWN_KEY}"

AUTHENTICATE_TO_GATEWAY = (
    "Set `gateway_token` (CF_AIG_TOKEN) to a Cloudflare token with the permission AI Gateway Run"
)
"""Without its full stop: a hint can go on to say where."""

AUTHENTICATE_TO_CLOUDFLARE = (
    "Set `cloudflare_api_token` (CLOUDFLARE_API_TOKEN) to a token with the permission Workers AI "
    "Read."
)

GRANT_LOGS_PERMISSION = (
    "Give the token in `api_token` (CLOUDFLARE_API_TOKEN) the permission AI Gateway Read, and AI "
    "Gateway Edit to write feedback: AI Gateway Run and Workers AI Read are not enough."
)
