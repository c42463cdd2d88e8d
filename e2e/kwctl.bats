#!/usr/bin/env bats
# The annotated module in Kubewarden's own kwctl. `make e2e-kwctl` runs this where kwctl and bats are on PATH.

module=annotated-policy.wasm
requests=tests/fixtures/requests
sessions=e2e/sessions

# Runs the module in kwctl: replay <request> <session> <settings>, with the look-ups that were recorded for these.
replay() {
    run kwctl run "$module" --allow-context-aware --settings-json "$3" \
        --request-path "$requests/$1.json" \
        --replay-host-capabilities-interactions "$sessions/$2"
    echo "$2: $output"
}

@test "kwctl reads the metadata" {
    run kwctl inspect "$module"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *autoscaler-guard* ]]
}

# What is said here of each request is what the embedded host says; the table is kept current by a test.
@test "every request gets the verdict in kwctl that it gets in the embedded host" {
    mapfile -t table < "$sessions/verdicts.tsv"
    [ "${#table[@]}" -ge "$(find "$requests" -name '*.json' | wc -l)" ]
    for line in "${table[@]}"; do
        IFS=$'\t' read -r request session settings verdict patched <<< "$line"
        replay "$request" "$session" "$settings"
        [ "$status" -eq 0 ]
        # Neither more nor other look-ups than in the embedded host.
        [[ "$output" != *"Replay error"* && "$output" != *"list of recorded responses is empty"* ]]
        [[ "$output" != *"have not been replayed"* ]]
        case $verdict in
            allowed) [[ "$output" == *'"allowed":true'* ]] ;;
            rejected) [[ "$output" == *'"allowed":false'* ]] ;;
            *) false ;;
        esac
        case $patched in
            patched) [[ "$output" == *'"patch":"'* ]] ;;
            *) [[ "$output" != *'"patch":"'* ]] ;;
        esac
    done
}

@test "the incident with KEDA and Helm: the HPA is released, or refused where nothing may be repaired" {
    write=keda-hpa-helm3/007-update-horizontalpodautoscaler-lab-admin
    replay "$write" "$write.yml" '{}'
    [ "$status" -eq 0 ]
    [[ "$output" == *'"allowed":true'* && "$output" == *'"patch":"'* && "$output" == *hpa-handover* ]]
    replay "$write" "$write.no-repair.yml" '{"repair": false}'
    [ "$status" -eq 0 ]
    [[ "$output" == *'"allowed":false'* && "$output" == *hpa-handover* ]]
}

@test "the incident with Envoy Gateway: the change that would leave an HPA behind is refused" {
    change=envoy-gateway-1.3.0/006-update-envoyproxy-lab-admin
    replay "$change" "$change.yml" '{}'
    [ "$status" -eq 0 ]
    [[ "$output" == *'"allowed":false'* && "$output" == *envoyhpa-removed* ]]
}

@test "right settings are taken, and a misspelt one is refused with its path" {
    write=keda-hpa-helm3/007-update-horizontalpodautoscaler-lab-admin
    replay "$write" "$write.no-repair.yml" '{"repair": false}'
    [ "$status" -eq 0 ]
    run kwctl run "$module" --settings-json '{"repiar": false}' \
        --request-path "$requests/envoy-gateway-1.9.1/009-update-envoyproxy-lab-admin.json"
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *'repiar: unknown; did you mean repair?'* ]]
}
