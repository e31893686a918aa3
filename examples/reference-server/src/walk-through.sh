# 1. Register: a tenant of one, on trial.
TOKEN=$(curl -s http://127.0.0.1:8080/v1/auth/register -H 'content-type: application/json' \
  -d '{"email":"ada@example.com","password":"correct horse","name":"Ada Plumbing"}' | jq -r .token)

# 2. An agent with a phone number of its own, in one request.
NUMBER=$(curl -s http://127.0.0.1:8080/v1/agents -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' \
  -d '{"name":"Front desk","first_message":"Hello, this is {{business_name}}.","provision_phone":true,"area_code":"212"}' \
  | jq -r .phone_number)

# 3. Somebody calls it: the emulated carrier rings, streams real audio, and records what it hears.
CALL=$(curl -s http://127.0.0.1:8089/_control/calls -H 'content-type: application/json' \
  -d "{\"from\":\"+12125550123\",\"to\":\"$NUMBER\",\"audio\":\"speech\"}" | jq -r .call_sid)
until curl -s "http://127.0.0.1:8089/_control/calls/$CALL" | jq -e '.status == "completed"' >/dev/null; do sleep 1; done
curl -s "http://127.0.0.1:8089/_control/calls/$CALL" | jq '{status, round_trip_ms, heard_wav, transcript}'

# 4. The call as the tenant sees it, with its transcript and its cost.
ID=$(curl -s http://127.0.0.1:8080/v1/calls -H "authorization: Bearer $TOKEN" | jq -r '.data[0].id')
curl -s "http://127.0.0.1:8080/v1/calls/$ID" -H "authorization: Bearer $TOKEN" | jq
curl -s "http://127.0.0.1:8080/v1/calls/$ID/transcript" -H "authorization: Bearer $TOKEN" | jq
