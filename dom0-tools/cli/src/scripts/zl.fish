# Completion of zl for fish: zl completion fish | source
function __zl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for found in ($words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
        switch $found
            case ':files*'
                __fish_complete_path "$current"
            case '*'
                echo $found
        end
    end
end
complete -c zl -f -a '(__zl_complete)'
