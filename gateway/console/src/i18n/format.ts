import { type Language, useLanguage } from "./language";

const LOCALES: Record<Language, string> = { en: "en-GB", zh: "zh-CN" };

export interface Format {
  number(value: number): string;
  /** A short length of time; `seconds` may be a fraction. */
  duration(seconds: number): string;
  /** Date and time in the reader's zone, which is named. */
  moment(at: Date): string;
  /** Time of day in the reader's zone, to the second. */
  clock(at: Date): string;
  /** How long ago, or until when. */
  relative(at: Date, now: Date): string;
}

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
/** Seconds of each unit, and how many of it are the next one. */
const UNITS = [
  [1, "second", 60],
  [MINUTE, "minute", 60],
  [HOUR, "hour", 24],
] as const;

function create(language: Language): Format {
  const locale = LOCALES[language];
  const numbers = new Intl.NumberFormat(locale);
  const moments = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "long" });
  const clocks = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });
  const relatives = new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "short" });
  const unit = (value: number, name: string, digits = 0) =>
    new Intl.NumberFormat(locale, { style: "unit", unit: name, unitDisplay: "narrow", maximumFractionDigits: digits }).format(value);
  /** Of two units; the smaller one is left out when there is nothing of it. */
  const pair = (seconds: number, size: number, name: string, smaller: number, smallerName: string) => {
    const rest = Math.floor((seconds % size) / smaller);
    return [unit(Math.floor(seconds / size), name), ...(rest > 0 ? [unit(rest, smallerName)] : [])].join(" ");
  };
  return {
    number: (value) => numbers.format(value),
    duration(seconds) {
      // Rounded first: 59.6 s is a minute.
      const thousandths = Math.round(seconds * 1000);
      if (thousandths < 1000) return unit(thousandths, "millisecond");
      if (seconds < 10) return unit(seconds, "second", 1);
      const whole = Math.round(seconds);
      if (whole < MINUTE) return unit(whole, "second");
      if (whole < HOUR) return pair(whole, MINUTE, "minute", 1, "second");
      if (whole < DAY) return pair(whole, HOUR, "hour", MINUTE, "minute");
      return pair(whole, DAY, "day", HOUR, "hour");
    },
    moment: (at) => moments.format(at),
    clock: (at) => clocks.format(at),
    relative(at, now) {
      const seconds = (at.getTime() - now.getTime()) / 1000;
      for (const [size, name, most] of UNITS) {
        const count = Math.round(seconds / size);
        if (Math.abs(count) < most) return relatives.format(count, name);
      }
      return relatives.format(Math.round(seconds / DAY), "day");
    },
  };
}

const formats: Record<Language, Format> = { en: create("en"), zh: create("zh") };

export function formatOf(language: Language): Format {
  return formats[language];
}

export function useFormat(): Format {
  return formatOf(useLanguage());
}
