# bash completion for bottle: everything is asked of bottle itself.
_bottle() {
	local line files= cur=${COMP_WORDS[COMP_CWORD]}
	# bash takes --flag=value for three words
	[[ $cur == '=' ]] && cur=
	COMPREPLY=()
	while IFS= read -r line; do
		if [[ $line == ':files' ]]; then
			files=1
		else
			COMPREPLY+=("${line%%$'\t'*}")
		fi
	done < <("${1/#\~/$HOME}" __complete bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
	if [[ $files ]]; then
		compopt -o filenames 2>/dev/null
		while IFS= read -r line; do
			COMPREPLY+=("$line")
		done < <(compgen -f -- "$cur")
	fi
}
complete -F _bottle bottle
