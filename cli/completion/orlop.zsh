#compdef orlop
# Completion of orlop for zsh. What can come next is asked of orlop itself: see orlop-completion(8).
_orlop() {
	local text
	local -a found
	for text in "${(@f)$("${(Q)words[1]}" completion words "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
		case $text in
		(:files)
			compset -P '-*='
			_files && return
			;;
		(:folders)
			compset -P '-*='
			_files -/ && return
			;;
		(?*) # a colon would end the word
			found+=("${${text%%$'\t'*}//:/\\:}:${text#*$'\t'}")
			;;
		esac
	done
	(( $#found )) && _describe 'orlop' found
}

# Loaded by compinit, this file is the function's body; sourced, it says what it completes.
if [[ $funcstack[1] == _orlop ]]; then
	_orlop "$@"
else
	compdef _orlop orlop
fi
