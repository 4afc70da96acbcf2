import { Argument, Command, type CommandUnknownOpts } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";

/** `stet completion`: what shells complete. */
export const completion: CommandFile = (session) =>
  new Command("completion")
    .description("print a script that completes commands and options in your shell")
    .addArgument(new Argument("<shell>", "your shell").choices(["bash", "zsh", "fish"] as const))
    .action((shell, _options, command) => {
      const known = (command.parent?.commands ?? []).map(wordsOf);
      session.io.stdout.write(shell === "fish" ? fish(known) : shell === "zsh" ? zsh(known) : bash(known));
    });

interface Words {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly { readonly flag: string; readonly summary: string }[];
}

function wordsOf(command: CommandUnknownOpts): Words {
  return {
    name: command.name(),
    summary: command.description(),
    options: command.options.flatMap(({ long, description }) => (!long ? [] : [{ flag: long, summary: description }])),
  };
}

function bash(commands: readonly Words[]): string {
  const cases = commands.map(
    ({ name, options }) => `    ${name}) words="${options.map(({ flag }) => flag).join(" ")}" ;;`,
  );
  return `# eval "$(stet completion bash)"
_stet() {
  local word="\${COMP_WORDS[COMP_CWORD]}" words="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${COMP_WORDS[i]}" in
${cases.join("\n").replaceAll("    ", "      ")}
    esac
  done
  if [ -z "$words" ]; then words="${commands.map(({ name }) => name).join(" ")}"; fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  if [ \${#COMPREPLY[@]} -eq 0 ]; then COMPREPLY=($(compgen -f -- "$word")); fi
}
complete -F _stet stet
`;
}

/** zsh runs the completions of bash. */
function zsh(commands: readonly Words[]): string {
  return `# eval "$(stet completion zsh)"
autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
${bash(commands).split("\n").slice(1).join("\n")}`;
}

function fish(commands: readonly Words[]): string {
  const quoted = (text: string) => `'${text.replaceAll("'", String.raw`\'`)}'`;
  const lines = commands.flatMap(({ name, summary, options }) => [
    `complete -c stet -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
    ...options.map(
      (option) =>
        `complete -c stet -n '__fish_seen_subcommand_from ${name}' -l ${option.flag.slice(2)} -d ${quoted(option.summary)}`,
    ),
  ]);
  return `# stet completion fish | source\n${lines.join("\n")}\n`;
}
