import { answerCommands } from '../processes/commands.js';
import { flood, pace } from './load.js';
import { type Client, poster, type Target } from './target.js';

interface Load {
  target: Target;
  client: Client;
  calls: number;
}

const commands = {
  flood: ({ target, client, calls, publishers }: Load & { publishers: number }) =>
    flood(poster(target, client), calls, publishers),
  pace: ({ target, client, calls, perSecond }: Load & { perSecond: number }) =>
    pace(poster(target, client), calls, perSecond),
};

export type GeneratorCommands = typeof commands;
answerCommands(commands);
