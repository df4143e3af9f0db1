# SPDX-License-Identifier: MIT
# zsh -f complete.zsh FOLDER LINE...: type each LINE and a tab into an interactive zsh that has
# the completions in FOLDER, print what is offered, one a line, and then "LINE=" and what became
# of the line.

zmodload zsh/zpty
zpty z zsh -f -i

# Type it, and wait for the shell to answer that it is done.
run() {
	local answer
	zpty -w z "$1; print -r -- DO''NE"
	zpty -r z answer '*DONE*'
}

run "PS1= PS2= RPS1= TERM=dumb; unsetopt beep zle_bracketed_paste 2>/dev/null; fpath=(${(q)1} \$fpath)"
run 'autoload -Uz compinit; compinit -u -D; zstyle ":completion:*" verbose no; setopt no_list_beep'
# Everything that is added goes through compadd; -O, -A and -D only ask.
run 'compadd() {
	local -a hits
	if [[ ${(j. .)@[1,(i)(-|--)]} != *\ -(O|A|D)* && $1 != -(O|A|D)* ]]; then
		builtin compadd -O hits "$@"
		print -rl -- "OFFER="$^hits
	fi
	builtin compadd "$@"
}'
run 'show() { zle complete-word; print -r -- "LINE=$BUFFER"; print -r -- DO""NE; BUFFER=; zle accept-line }'
run 'zle -N show; bindkey "^I" show'
for typed in "${@[2,-1]}"; do
	zpty -w -n z "$typed"$'\t'
	zpty -r z answer '*DONE*'
	for line in ${(f)answer}; do
		line=${line%$'\r'}
		[[ $line == *OFFER=* ]] && print -r -- ${line##*OFFER=}
		[[ $line == *LINE=* ]] && print -r -- LINE=${line##*LINE=}
	done
done
zpty -d z
