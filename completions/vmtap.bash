# SPDX-License-Identifier: MIT
#
# Completion of vmtap for bash. It needs nothing but bash itself; the types of ports and
# their keys come from the program (vmtap __complete).

# Bash splits words at "=" and ":" too, and wants to hear only of what follows them. Here
# a word is what lies between blanks, and each reply is cut to bash's idea of it at the end.

# _vmtap_reply WORD PIECE...: offer those pieces that begin like WORD
_vmtap_reply() {
	local word=$1 known
	local skip=${word%"${word##*["$COMP_WORDBREAKS"]}"}
	shift
	for known; do
		[[ $known == "$word"* ]] && COMPREPLY+=("${known#"$skip"}")
	done
}

# Files whose name begins like what follows the last "=" of WORD.
_vmtap_files() {
	local word=$1
	local value=${word##*=}
	local stem=${word%"$value"}
	local files

	mapfile -t files < <(compgen -f -- "$value")
	# Only bare names can be quoted and given a slash by bash.
	[[ $COMP_WORDBREAKS == *=* ]] && compopt -o filenames
	_vmtap_reply "$word" "${files[@]/#/$stem}"
}

_vmtap_port() {
	local program=$1 word=$2 known meaning words=()

	# What follows, a comma or a blank, only the user knows.
	compopt -o nospace
	while IFS=$'\t' read -r known meaning; do
		if [[ $meaning == FILE ]]; then
			_vmtap_files "$word"
			return
		fi
		words+=("$known")
	done < <("$program" __complete port "$word" 2>/dev/null)
	_vmtap_reply "$word" "${words[@]}"
}

_vmtap_topics() {
	local program=$1 word=$2 known meaning words=()

	while IFS=$'\t' read -r known meaning; do
		words+=("$known")
	done < <("$program" __complete topic 2>/dev/null)
	_vmtap_reply "$word" "${words[@]}"
}

# The words of ctl, or a port's description behind "port add".
_vmtap_ctl() {
	local program=$1 word=$2 known meaning words=()
	shift 2

	if [[ $* == "port add" ]]; then
		_vmtap_port "$program" "$word"
		return
	fi
	while IFS=$'\t' read -r known meaning; do
		words+=("$known")
	done < <("$program" __complete ctl "$@" 2>/dev/null)
	_vmtap_reply "$word" "${words[@]}"
}

# The command of exec: a program, then files.
_vmtap_command() {
	local word=$1 first=$2 found

	if $first; then
		mapfile -t found < <(compgen -c -- "$word")
	else
		mapfile -t found < <(compgen -f -- "$word")
		compopt -o filenames
	fi
	_vmtap_reply "$word" "${found[@]}"
}

_vmtap() {
	local line=${COMP_LINE:0:COMP_POINT}
	local word=${line##*[[:blank:]]}
	local words typed=() i command='' args=0 options=true program=${COMP_WORDS[0]}

	COMPREPLY=()
	read -ra words <<<"${line%"$word"}"
	for ((i = 1; i < ${#words[@]}; i++)); do
		case $options${words[i]} in
		true--) options=false ;;
		true-c | true--config | true--log-format | true--stats | true--engine | true--workers | true--cpus | true--poll-us | true--control | true--control-mode | true--control-group | true--metrics | true--timeout | true--source | true--vlan | true--pid | true--cmdline | true-[wfsQCWi]) ((i++)) ;; # and its value
		true-*) ;;
		*)
			if [[ $command ]]; then
				((++args))
				typed+=("${words[i]}")
			else
				command=${words[i]}
			fi
			;;
		esac
	done

	if ((i > ${#words[@]})); then # the value is what is being typed
		case ${words[-1]} in
		--log-format) _vmtap_reply "$word" text json ;;
		--engine) _vmtap_reply "$word" auto io_uring plain ;;
		-Q) _vmtap_reply "$word" in out inout ;;
		-c | -w | --config | --control) _vmtap_files "$word" ;;
		esac
		return
	fi
	case $options$word in
	true--log-format=*) _vmtap_reply "$word" --log-format={text,json} ;;
	true--engine=*) _vmtap_reply "$word" --engine={auto,io_uring,plain} ;;
	true-*)
		_vmtap_reply "$word" --verbose --quiet --log-format= --stats= --engine= --workers= --cpus= --poll-us= --wait --yes --json \
			--pid= --cmdline= --config= --control= --control-mode= --control-group= --metrics= --schema --watch --once --prometheus --segment --timeout= --source= --vlan= --help --version
		[[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace
		;;
	*)
		case $command in
		'') _vmtap_reply "$word" connect serve ctl stats top ping capture check exec list reap doctor help ;;
		connect) _vmtap_port "$program" "$word" ;;
		check) _vmtap_port "$program" "$word" ;;
		ctl) _vmtap_ctl "$program" "$word" "${typed[@]}" ;;
		doctor) ((args >= 1)) || _vmtap_port "$program" "$word" ;;
		exec)
			case $args in
			0) _vmtap_port "$program" "$word" ;;
			1) _vmtap_command "$word" true ;;
			*) _vmtap_command "$word" false ;;
			esac
			;;
		help) ((args >= 1)) || _vmtap_topics "$program" "$word" ;;
		esac
		;;
	esac
}

complete -F _vmtap vmtap
