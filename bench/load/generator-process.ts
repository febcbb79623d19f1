import { answerCommands } from '../processes/commands.js';
import { flood, pace } from './load.js';
import { poster, type Target } from './target.js';

const commands = {
  flood: ({ target, calls, publishers }: { target: Target; calls: number; publishers: number }) =>
    flood(poster(target), calls, publishers),
  pace: ({ target, calls, perSecond }: { target: Target; calls: number; perSecond: number }) =>
    pace(poster(target), calls, perSecond),
};

export type GeneratorCommands = typeof commands;
answerCommands(commands);
