import { Body, Controller, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { Answers, BodyText, Id, IdempotencyKey } from '../http/http.decorators.js';
import { type PreviewBody, previewBody, previewShown } from './preview.schema.js';
import { PreviewService } from './preview.service.js';

@ApiTags('Endpoints')
@Controller('v1/accounts/:account/endpoints/:endpoint/preview')
export class PreviewController {
  constructor(private readonly previews: PreviewService) {}

  @Post()
  @Requires('endpoints:read')
  @ApiOperation({
    summary:
      'See whether an event would be sent to an endpoint, and if not, why; one by its id needs `events:read` too',
  })
  @IdempotencyKey()
  @Answers(200, previewShown)
  preview(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Id('endpoint') endpointId: string,
    @Body({ schema: previewBody }) body: PreviewBody,
    @BodyText() bodyText: string,
  ) {
    return this.previews.preview(caller, accountId, endpointId, body, bodyText);
  }
}
