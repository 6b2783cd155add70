# Completion of zl for bash: source <(zl completion bash)
_zl() {
    local line=${COMP_LINE:0:COMP_POINT} current reply part
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${words[-1]}
    reply=$("${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
    COMPREPLY=()
    while IFS= read -r part; do
        case $part in
        '') ;;
        :files*)
            compopt -o filenames 2>/dev/null
            while IFS= read -r part; do COMPREPLY+=("$part"); done < <(compgen -f -- "$current")
            ;;
        *) COMPREPLY+=("$part") ;;
        esac
    done <<<"$reply"
    # bash counts '=' and ':' as ends of words and replaces only what is behind them.
    local head=${current%"${current##*[=:]}"}
    [[ -n $head ]] && COMPREPLY=("${COMPREPLY[@]#"$head"}")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _zl zl
