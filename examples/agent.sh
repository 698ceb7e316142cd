#!/usr/bin/env bash
# An agent in bash: takes one piece of work, answers it in three parts while it listens to what people say, and ends.
#
#   SYNCD_URL=http://127.0.0.1:8484 SYNCD_TOKEN=dev:agent:echo bash examples/agent.sh
#
# Needs curl, and python3 to read and write JSON. Every request may be repeated as it is: so it is, until it is answered.
set -euo pipefail

url=${SYNCD_URL:-http://127.0.0.1:8484}
token=${SYNCD_TOKEN:-dev:agent:echo}
listen_s=${LISTEN_S:-1} # how long to listen after each part
worker="sh-$$-$RANDOM$RANDOM" # this process, and no other

# call METHOD PATH [BODY]: print the answer; fail if the server refuses.
call() {
  local answer code
  while true; do
    if answer=$(curl --silent --max-time 90 --request "$1" "$url$2" --write-out '\n%{http_code}' \
      --header "Authorization: Bearer $token" --header 'Content-Type: application/json' ${3:+--data-binary "$3"}); then
      code=${answer##*$'\n'}
      answer=${answer%$'\n'*}
      case $code in
        2*) printf '%s' "$answer" && return 0 ;;
        429 | 5*) ;; # it cannot now
        *) printf '%s\n' "$answer" >&2 && return 1 ;;
      esac
    fi
    sleep 1
  done
}

# get EXPRESSION: read JSON as `j`, print the value of a Python expression.
get() { python3 -c 'import json, sys; j = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

# text_part TEXT: print it as a part.
text_part() { python3 -c 'import json, sys; print(json.dumps({"type": "text", "text": sys.argv[1]}))' "$1"; }

# say TEXT: append to the answer. The number tells the server what it has already.
n=0
say() {
  n=$((n + 1))
  call POST "$run_path/parts" "{\"attempt\": $attempt, \"n\": $n, \"parts\": [$(text_part "$1")]}" >/dev/null
}

end() {
  call POST "$run_path/end" "{\"attempt\": $attempt, \"status\": \"$1\", \"finish_reason\": \"stop\"}" >/dev/null
  echo "$run: $1"
  exit 0
}

# listen: take what was said since the last time. While it waits, the server knows that this worker is there.
after=0
listen() {
  local events type command text
  events=$(call GET "$run_path/events?attempt=$attempt&after=$after&wait_s=$listen_s")
  after=$(get 'j["next"]' <<<"$events")
  while IFS=$'\t' read -r type command text; do
    case $type in
      cancel) end cancelled ;;
      lease_lost | ended) echo "$run: somebody else has it, or it is over" >&2 && exit 1 ;;
      steer)
        call POST "$run_path/consumed" "{\"attempt\": $attempt, \"commands\": [\"$command\"]}" >/dev/null
        say "(you said: $text) "
        ;;
    esac
  done < <(get '"\n".join("\t".join([e["type"], e.get("command", "-"), " ".join(e.get("text", "").split())])
    for e in j["events"])' <<<"$events")
}

work='{"work": []}'
while [ "$(get 'len(j["work"])' <<<"$work")" = 0 ]; do
  work=$(call GET "/v1/work?worker=$worker&slots=1&wait_s=30")
done
session=$(get 'j["work"][0]["session"]' <<<"$work")
run=$(get 'j["work"][0]["run"]' <<<"$work")
message=$(get 'j["work"][0]["message"]' <<<"$work")

claim=$(call POST "/v1/sessions/$session/runs" "{\"worker\": \"$worker\", \"run\": \"$run\", \"policy\": \"retry\"}")
attempt=$(get 'j["attempt"]' <<<"$claim")
run_path="/v1/sessions/$session/runs/$run"

asked=$(call GET "/v1/sessions/$session/messages?limit=100" |
  get "' '.join(p.get('text', '') for m in j['messages'] if m['id'] == '$message' for p in m['parts'])")

say "You wrote: "
listen
say "$asked. "
listen
say "That is all."
listen
end completed
