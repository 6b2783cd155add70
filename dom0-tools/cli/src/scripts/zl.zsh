#compdef zl
# Completion of zl for zsh: source <(zl completion zsh)
_zl() {
    local -a found
    found=("${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    (( ${found[(I):files*]} )) && _files
    found=("${(@)found:#:files*}")
    found=("${(@)found:#}")
    compadd -S '' -- "${(@M)found:#*=}"
    compadd -- "${(@)found:#*=}"
}
compdef _zl zl
