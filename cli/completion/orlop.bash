# Completion of orlop for bash 4.4 and later. What can come next is asked of orlop itself: see orlop-completion(8).
_orlop() {
	local word text current=${COMP_WORDS[COMP_CWORD]}
	local -a words=()
	# Readline ends words at = and :, too.
	for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
		if [[ ${#words[@]} -gt 0 && ($word == [=:]* || -n $word && ${words[-1]} == *[=:]) ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
	done
	[[ $current == [=:]* ]] && current=
	# What of the word stands before the part that Readline puts the completion in place of.
	local kept=${words[-1]%"$current"}

	COMPREPLY=()
	while IFS= read -r text; do
		case $text in
		:files)
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$current")
			;;
		:folders)
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -d -- "$current")
			;;
		*)
			text=${text%%$'\t'*}
			COMPREPLY+=("${text#"$kept"}")
			;;
		esac
	done < <("$1" completion words "${words[@]}" 2>/dev/null)
}
complete -F _orlop orlop
