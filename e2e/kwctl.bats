#!/usr/bin/env bats
# The annotated module in Kubewarden's own kwctl. `make e2e-tests` runs this where kwctl and bats are on PATH.

module=annotated-policy.wasm
requests=tests/fixtures/requests

@test "kwctl reads the metadata" {
    run kwctl inspect "$module"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *autoscaler-guard* ]]
}

@test "a change that concerns no rule is accepted" {
    run kwctl run "$module" --request-path "$requests/envoy-gateway-1.9.1/009-update-envoyproxy-lab-admin.json"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *'"allowed":true'* ]]
}

@test "a misspelt setting is refused with its path" {
    run kwctl run "$module" --settings-json '{"repiar": false}' \
        --request-path "$requests/envoy-gateway-1.9.1/009-update-envoyproxy-lab-admin.json"
    echo "$output"
    [[ "$output" == *'repiar: unknown; did you mean repair?'* ]]
}
