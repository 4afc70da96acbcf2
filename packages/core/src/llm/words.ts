/** Words and sentences of a text, in any language: how long a summary is, and where it may end. */

const words = new Intl.Segmenter("und", { granularity: "word" });
const sentences = new Intl.Segmenter("und", { granularity: "sentence" });

/** How many words a text has. Languages without spaces have words too. */
export function countWords(text: string): number {
  let count = 0;
  for (const { isWordLike } of words.segment(text)) if (isWordLike === true) count++;
  return count;
}

/** The beginning of the text up to the last sentence that ends within `maxWords`, or else up to the last such word. */
export function trimmedTo(maxWords: number, text: string): string | undefined {
  if (countWords(text) === 0) return undefined;
  let kept = "";
  for (const { segment } of sentences.segment(text.trim())) {
    if (countWords(kept + segment) > maxWords) break;
    kept += segment;
  }
  return countWords(kept) > 0 ? kept.trim() : `${firstWords(maxWords, text.trim())}...`;
}

function firstWords(maxWords: number, text: string): string {
  let count = 0;
  for (const { index, segment, isWordLike } of words.segment(text)) {
    if (isWordLike === true && ++count === maxWords) return text.slice(0, index + segment.length);
  }
  return text;
}
