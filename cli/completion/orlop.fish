# Completion of orlop for fish. What can come next is asked of orlop itself: see orlop-completion(8).
function __orlop_complete
	set -l words (commandline -opc)
	set -l current (commandline -ct)
	# A value behind its flag: the paths that fish finds are for what follows the "=".
	set -l flag (string match -r -- '^-[^=]*=' "$current")
	for text in ($words[1] completion words $words[2..-1] "$current" 2>/dev/null)
		switch $text
			case :files
				string replace -r -- '^' "$flag" (__fish_complete_path (string replace -- "$flag" '' "$current"))
			case :folders
				string replace -r -- '^' "$flag" (__fish_complete_directories (string replace -- "$flag" '' "$current"))
			case '*'
				echo $text
		end
	end
end
complete -c orlop -f -a '(__orlop_complete)'
