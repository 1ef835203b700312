#compdef bottle
# zsh completion for bottle: everything is asked of bottle itself.
_bottle() {
	local line files
	local -a values shown
	while IFS= read -r line; do
		if [[ $line == ':files' ]]; then
			files=1
		else
			values+=("${line%%$'\t'*}")
			shown+=("${line/$'\t'/  -- }")
		fi
	done < <("${(Q)words[1]/#\~/$HOME}" __complete zsh "${(@Q)words[2,CURRENT]}" 2>/dev/null)
	(( $#values )) && compadd -l -d shown -a values
	if [[ -n $files ]]; then
		compset -P '--*='
		_files
	fi
}
# autoloaded from $fpath, or sourced
if [[ $funcstack[1] == _bottle ]]; then
	_bottle "$@"
else
	compdef _bottle bottle
fi
